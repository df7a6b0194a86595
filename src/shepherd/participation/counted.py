"""What participation of so many clients a round has in common: how many take part, and how many are invited."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from shepherd.errors import ShepherdError
from shepherd.participation.base import Candidates, Participation


class CountedParticipation(Participation):
    """So many clients a round.

    Attributes
    ----------
    fraction : float
        Share of the clients in (0, 1]; a tenth unless told, at least one client.
    count : int, optional
        Number of clients, instead of ``fraction``.
    over_selection : float
        How many times as many are invited, so that a simulated system can drop those that come late; Bonawitz et al.
        (arXiv 1902.01046) use 1.3. Over a network ``enough_share`` in federation.yaml does this.
    """

    instead: ClassVar[Mapping[str, str]] = {"fraction": "count", "count": "fraction"}

    fraction: float | None = Field(None, gt=0, le=1)
    count: int | None = Field(None, gt=0)
    over_selection: float = Field(1.0, ge=1)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.fraction is not None and self.count is not None:
            raise ValueError("give fraction or count, not both")
        return self

    def suits(self, config: Any) -> None:
        """Refuse to invite too many where nobody is ever late."""
        if self.over_selection > 1 and config.system is None:
            raise ValueError(
                f"participation.over_selection is {self.over_selection:g}, but without a simulated system nobody is "
                "late and all are aggregated; set system, or use a larger participation.count (over a network with "
                "enough_share in federation.yaml)"
            )
        if self.over_selection > 1 and config.system.stale:
            raise ValueError(
                f"participation.over_selection is {self.over_selection:g}, but system.name={config.system.name} waits "
                "for nobody, and whoever is late is used later; leave it out, or set system.name=synchronous"
            )

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

    def most_chosen(self, clients: int) -> int:
        """Return how many are invited, of so many clients that all can be."""
        return min(clients, math.ceil(self.over_selection * self.cohort_size(clients) - 1e-9))

    def invited(self, candidates: Candidates) -> int:
        """Return how many clients are chosen: as many as there are, where fewer can be than are wanted."""
        return min(len(candidates.pool), self.most_chosen(len(candidates.sizes)))
