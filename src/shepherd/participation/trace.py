"""Participation of those whose devices are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from shepherd.errors import ShepherdError
from shepherd.model.adapter import Adapter
from shepherd.participation.base import Candidates, Participation, Report
from shepherd.participation.coverage import Coverage
from shepherd.participation.divfl import DivFL
from shepherd.participation.fedcs import FedCS
from shepherd.participation.only import Only
from shepherd.participation.oort import Oort
from shepherd.participation.power_of_choice import PowerOfChoice
from shepherd.participation.random import Random
from shepherd.participation.round_robin import RoundRobin
from shepherd.participation.weighted import Weighted
from shepherd.strategy import one_of
from shepherd.tree import Tree

#: What chooses by itself, and among those that are there as well.
CHOOSERS = (Random, Only, RoundRobin, Weighted, PowerOfChoice, Oort, DivFL, Coverage, FedCS)
_ThenChoice: Any = one_of(Participation, *CHOOSERS)


class Trace(Participation):
    """Of the clients whose devices are available when a round begins, by the system's trace, another rule chooses.

    As servers do that know who has checked in (Bonawitz et al., arXiv 1902.01046). Without it, that somebody is away
    is found out when the system invites.

    Attributes
    ----------
    then : Participation
        What chooses among them; ``random`` unless told.
    """

    name: str = "trace"
    then: _ThenChoice = Random()

    def suits(self, config: Any) -> None:
        """Refuse where nothing is known of devices."""
        if config.system is None:
            raise ValueError(
                "participation.name=trace needs to know when devices are available; set system, or use "
                f"participation.name={self.then.name}"
            )
        self.then.suits(config)

    @property
    def asks_categories(self) -> bool:
        """Whether the other rule needs to know categories."""
        return self.then.asks_categories

    def cohort_size(self, clients: int) -> int:
        """Return how many the other rule chooses."""
        return self.then.cohort_size(clients)

    def most_chosen(self, clients: int) -> int:
        """Return how many the other rule chooses at most."""
        return self.then.most_chosen(clients)

    def check(self, clients: int) -> None:
        """Refuse what the other rule cannot choose from."""
        self.then.check(clients)

    def select(self, candidates: Candidates, state: Tree) -> list[int]:
        """Have the other rule choose among those that are available."""
        return self.then.select(_available(candidates), state)

    def sketch(self, update: Adapter, seed: int) -> torch.Tensor | None:
        """Return what the other rule remembers of an update."""
        return self.then.sketch(update, seed)

    def observe(self, candidates: Candidates, reports: Sequence[Report], state: Tree) -> Tree:
        """Return what the other rule remembers."""
        return self.then.observe(_available(candidates), reports, state)


def _available(candidates: Candidates) -> Candidates:
    if candidates.devices is None:
        raise ShepherdError("participation.name=trace needs a system that says when devices are available.")
    there = [client for client in candidates.pool if candidates.devices.available(client)]
    return replace(candidates, among=there)
