"""k-centre: the server takes the groups that together lie closest to all others."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field, model_validator

from shepherd.coreset.grouped import GroupedCoreset
from shepherd.coreset.merge import farthest_first


class KCenter(GroupedCoreset):
    """Greedy k-centre on the groups' means (Sener & Savarese, arXiv 1708.00489): unique groups come first.

    Attributes
    ----------
    ratio : float, optional
        Share of a round's groups that survive, in (0, 1]; half of them unless told.
    count : int, optional
        Number of groups instead, at most: all of them where there are fewer.
    """

    name: str = "kcenter"
    ratio: float | None = Field(None, gt=0, le=1)
    count: int | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        if self.ratio is not None and self.count is not None:
            raise ValueError("give ratio or count, not both")
        if self.frame != "shared":
            raise ValueError("k-centre compares clients' groups, which only frame: shared allows")
        return self

    def surviving(self, means: np.ndarray) -> np.ndarray:
        """Return the groups that are farthest apart."""
        share = 0.5 if self.ratio is None else self.ratio
        return farthest_first(means, self.count or max(1, round(share * len(means))))
