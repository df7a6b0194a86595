"""Uniformly random participation, as in FedIT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from shepherd.errors import ShepherdError
from shepherd.participation.base import Participation
from shepherd.randomness import generator


class Random(Participation):
    """A uniformly random cohort without repetition (McMahan et al., arXiv 1602.05629).

    Attributes
    ----------
    fraction : float
        Share of the clients in (0, 1]; at least one client takes part.
    count : int, optional
        Number of clients, instead of ``fraction``.
    """

    name: str = "random"
    fraction: float | None = Field(None, gt=0, le=1)
    count: int | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.fraction is not None and self.count is not None:
            raise ValueError("give fraction or count, not both")
        return self

    def cohort_size(self, clients: int) -> int:
        """Return how many of `clients` take part each round; a tenth unless told."""
        if self.count is None:
            share = 0.1 if self.fraction is None else self.fraction
            # 0.29 * 100 is 28.999…; what comes out even must not lose a client to rounding.
            return max(1, int(share * clients + 1e-9))
        if self.count > clients:
            raise ShepherdError(
                f"participation.count is {self.count} but there are only {clients} clients; "
                f"use at most {clients}, or allocate more clients."
            )
        return self.count

    def select(self, round: int, sizes: Sequence[int], state: Mapping[str, Any], seed: int) -> list[int]:
        """Draw the cohort of `round`, in ascending order of client number."""
        draw = generator(seed, "participation", round)
        chosen = draw.choice(len(sizes), size=self.cohort_size(len(sizes)), replace=False)
        return sorted(int(client) for client in chosen)
