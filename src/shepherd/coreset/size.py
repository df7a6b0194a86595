"""How many are kept, where that is a setting and not a finding."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from shepherd.coreset.base import Coreset


class SizedCoreset(Coreset):
    """A coreset that keeps a share, or a number: of every client's examples, unless it says of what else.

    Attributes
    ----------
    ratio : float, optional
        The share, in (0, 1], rounded, at least one.
    count : int, optional
        The number instead, at most: where there are fewer, all are kept.
    usual : float
        The ratio where neither is told.
    """

    usual: ClassVar[float] = 0.05

    ratio: float | None = Field(None, gt=0, le=1)
    count: int | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.ratio is not None and self.count is not None:
            raise ValueError("give ratio or count, not both")
        return self

    def size(self, held: int) -> int:
        """Return how many of `held` are kept."""
        if self.count is not None:
            return min(self.count, held)
        return max(1, round((self.ratio or self.usual) * held))
