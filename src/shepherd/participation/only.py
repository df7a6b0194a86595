"""Always the same clients: how one client alone, or a fixed consortium, is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from shepherd.errors import ShepherdError
from shepherd.participation.base import Participation


class Only(Participation):
    """The clients that are named take part in every round, nobody else ever.

    Attributes
    ----------
    clients : list of int
        Client numbers, from 0.
    """

    name: str = "only"
    clients: list[int] = Field(min_length=1)

    def select(self, round: int, sizes: Sequence[int], state: Mapping[str, Any], seed: int) -> list[int]:
        """Return the clients that are named, in ascending order."""
        for client in self.clients:
            if not 0 <= client < len(sizes):
                raise ShepherdError(
                    f"participation.clients names client {client}, but clients run from 0 to {len(sizes) - 1}."
                )
        return sorted(set(self.clients))
