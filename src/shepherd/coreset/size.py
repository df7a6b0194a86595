"""How many of a client's examples a coreset keeps, where that is a setting and not a finding."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from shepherd.coreset.base import Coreset


class SizedCoreset(Coreset):
    """A coreset that keeps a share, or a number, of every client's examples.

    Attributes
    ----------
    ratio : float, optional
        Share of a client's examples, in (0, 1], rounded, at least one.
    count : int, optional
        Number of examples instead, at most: a client that holds fewer keeps them all.
    """

    ratio: float | None = Field(None, gt=0, le=1)
    count: int | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.ratio is not None and self.count is not None:
            raise ValueError("give ratio or count, not both")
        return self

    def size(self, held: int) -> int:
        """Return how many of `held` examples are kept; a twentieth unless told."""
        if self.count is not None:
            return min(self.count, held)
        return max(1, round((0.05 if self.ratio is None else self.ratio) * held))
