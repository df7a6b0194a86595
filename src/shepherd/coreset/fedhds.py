"""FedHDS: hierarchical data selection, within clients and between them (arXiv 2410.10926)."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from shepherd.coreset.grouped import GroupedCoreset
from shepherd.coreset.merge import nearest_of_each


class FedHDS(GroupedCoreset):
    """The server clusters all clients' groups, and of every cluster one group survives (arXiv 2410.10926).

    As published: ``frame: tsne``. Its coordinates are each client's own, so what the server merges there belongs
    together by chance only; hence ``shared`` unless told, where the groups' means can be compared.

    Attributes
    ----------
    smallest_merge : int
        The fewest groups that make a cluster at the server.
    keep_unmatched : bool
        Keep the groups that are like no other; the paper drops them.
    """

    name: str = "fedhds"
    smallest_merge: int = Field(2, ge=2)
    keep_unmatched: bool = False

    def surviving(self, means: np.ndarray) -> np.ndarray:
        """Return of every cluster of groups the one nearest to its centre; all groups where there is no cluster."""
        return nearest_of_each(means, self.smallest_merge, self.keep_unmatched)
