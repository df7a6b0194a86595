"""k-centre: the server takes the groups that together lie closest to all others."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from pydantic import model_validator

from shepherd.coreset.grouped import GroupedCoreset
from shepherd.coreset.merge import farthest_first
from shepherd.coreset.size import SizedCoreset


class KCenter(GroupedCoreset, SizedCoreset):
    """Greedy k-centre on the groups' means (Sener & Savarese, arXiv 1708.00489): unique groups come first.

    Attributes
    ----------
    ratio, count : float or int, optional
        How many of a round's groups survive; half of them unless told. The time is that of count x groups distances.
    """

    usual: ClassVar[float] = 0.5

    name: str = "kcenter"

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        if self.frame != "shared":
            raise ValueError("k-centre compares clients' groups, which only frame: shared allows")
        return self

    def surviving(self, means: np.ndarray) -> np.ndarray:
        """Return the groups that are farthest apart."""
        return farthest_first(means, self.size(len(means)))
