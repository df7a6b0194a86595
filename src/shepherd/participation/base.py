"""What every way of choosing a round's cohort is: FedIT's second component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from shepherd.model.adapter import Adapter
from shepherd.strategy import Strategy
from shepherd.tree import Tree


class Devices(Protocol):
    """What the server knows of the clients' machines and networks as a round begins, of a simulated system."""

    def available(self, client: int) -> bool:
        """Say whether a client could begin now."""
        ...

    def expected_seconds(self, client: int, examples: int) -> float:
        """Return how long a round would take a client: download, training and upload, without mishaps.

        Parameters
        ----------
        client : int
            The client's number.
        examples : int
            How many examples it holds.
        """
        ...


class Losses(Protocol):
    """Asks clients how the global adapter does on what they have."""

    def __call__(self, clients: Sequence[int], examples: int | None = None) -> Mapping[int, float]:
        """Return the mean loss of those that answer, in nats per response token.

        Parameters
        ----------
        clients : sequence of int
            Whom to ask.
        examples : int, optional
            How many of its own examples each looks at; all unless told.
        """
        ...


def _nobody_asked(clients: Sequence[int], examples: int | None = None) -> Mapping[int, float]:
    raise NotImplementedError("these candidates cannot be asked for their losses")


@dataclass(frozen=True)
class Candidates:
    """What is known of everybody who could take part in a round.

    Attributes
    ----------
    round, seed : int
        The address of the choice's randomness; ``round`` counts from 0.
    sizes : sequence of int, [clients]
        Number of examples of every client; its length is the number of clients.
    names : sequence of str, [clients]
        Their names.
    categories : sequence of mapping of str to int, optional
        How many examples of each category every client said it has; None where clients are not asked.
    losses : Losses
        Asks clients for the mean loss of the global adapter on their own examples. Over a network some may not answer.
    among : sequence of int, optional
        Who of them can be chosen, in ascending order; everybody unless told.
    devices : Devices, optional
        What is known of their machines; None without a simulated system.
    wanted : int, optional
        How many updates the round is to aggregate, where more clients are invited than that.
    silent : sequence of int
        When a round is over (`Participation.observe`): of whom nothing came that was asked to take part. Who is still
        at work, or was never asked since its device is away, is not silent.
    """

    round: int
    seed: int
    sizes: Sequence[int]
    names: Sequence[str] = ()
    categories: Sequence[Mapping[str, int]] | None = None
    losses: Losses = _nobody_asked
    among: Sequence[int] | None = None
    devices: Devices | None = None
    wanted: int | None = None
    silent: Sequence[int] = ()

    @property
    def pool(self) -> Sequence[int]:
        """Who can be chosen, in ascending order."""
        return range(len(self.sizes)) if self.among is None else self.among


@dataclass(frozen=True)
class Report:
    """What is known of a client that took part.

    Attributes
    ----------
    client : int
        Its number.
    line : mapping
        Its line in metrics.jsonl.
    sketch : Tensor, optional
        What `Participation.sketch` made of its update.
    """

    client: int
    line: Mapping[str, Any]
    sketch: torch.Tensor | None = None


class Participation(Strategy):
    """Client participation scheduling (arXiv 2305.05644, section 3.2)."""

    @property
    def asks_categories(self) -> bool:
        """Whether it needs to know how many examples of each category every client has."""
        return False

    def cohort_size(self, clients: int) -> int:
        """Return how many updates a round is to aggregate at most, of so many clients; all unless a strategy says so.

        Raises
        ------
        ShepherdError
            If there are too few clients.
        """
        return clients

    def most_chosen(self, clients: int) -> int:
        """Return how many of `clients` a cohort has at most: as many as are aggregated, unless more are invited."""
        return self.cohort_size(clients)

    def check(self, clients: int) -> None:
        """Refuse a population that the rule cannot choose from, before anything is trained.

        Parameters
        ----------
        clients : int
            How many there are.

        Raises
        ------
        ShepherdError
            Saying what is too many, and how many there are.
        """
        self.cohort_size(clients)

    def select(self, candidates: Candidates, state: Tree) -> list[int]:
        """Choose the round's cohort.

        Parameters
        ----------
        candidates : Candidates
            Everybody.
        state : mapping
            What this strategy remembers; empty at first.

        Returns
        -------
        list of int
            Client numbers, without repetition, in the order in which they are aggregated.
        """
        raise NotImplementedError

    def sketch(self, update: Adapter, seed: int) -> torch.Tensor | None:
        """Return what is to be remembered of a client's update; nothing by default."""
        return None

    def observe(self, candidates: Candidates, reports: Sequence[Report], state: Tree) -> Tree:
        """Return the state after a round.

        Parameters
        ----------
        candidates : Candidates
            Everybody, as `select` saw them, and who of those that were asked is silent.
        reports : sequence of Report
            The cohort's, in the order in which it is aggregated.
        state : mapping
            The state before.
        """
        return state
