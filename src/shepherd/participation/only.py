"""Always the same clients: how one client alone, or a fixed consortium, is run."""

from __future__ import annotations

from pydantic import Field

from shepherd.errors import ShepherdError
from shepherd.participation.base import Candidates, Participation
from shepherd.tree import Tree


class Only(Participation):
    """The clients that are named take part in every round, nobody else ever.

    Attributes
    ----------
    clients : list of int
        Client numbers, from 0.
    """

    name: str = "only"
    clients: list[int] = Field(min_length=1, examples=[[0, 1]])

    def cohort_size(self, clients: int) -> int:
        """Return how many are named."""
        return len(set(self.clients))

    def check(self, clients: int) -> None:
        """Refuse a number that no client has."""
        for client in self.clients:
            if not 0 <= client < clients:
                raise ShepherdError(
                    f"participation.clients names client {client}, but clients run from 0 to {clients - 1}."
                )

    def select(self, candidates: Candidates, state: Tree) -> list[int]:
        """Return the clients that are named, in ascending order, of those that can be chosen."""
        self.check(len(candidates.sizes))
        able = candidates.pool if candidates.among is None else set(candidates.among)
        return sorted(client for client in set(self.clients) if client in able)
