"""What every way of choosing a round's cohort is: FedIT's second component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shepherd.strategy import Strategy


class Participation(Strategy):
    """Client participation scheduling (arXiv 2305.05644, section 3.2)."""

    def select(self, round: int, sizes: Sequence[int], state: Mapping[str, Any], seed: int) -> list[int]:
        """Choose the round's cohort.

        Parameters
        ----------
        round : int
            The round, from 0.
        sizes : sequence of int
            Number of examples of every client; its length is the number of clients.
        state : mapping
            What this strategy remembers; empty at first.
        seed : int
            The run's seed.

        Returns
        -------
        list of int
            Client numbers, without repetition, in the order in which they are aggregated.
        """
        raise NotImplementedError

    def observe(self, reports: Sequence[Mapping[str, Any]], state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the state after hearing the cohort's reports (their lines in metrics.jsonl)."""
        return state
