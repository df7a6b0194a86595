"""Bound the norm of every client's update."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from shepherd.model.adapter import Adapter
from shepherd.transforms.base import Transform


class Clip(Transform):
    """Scale an update down to a norm of at most ``norm`` (Sun et al., arXiv 1911.07963).

    Attributes
    ----------
    norm : float
        Largest Euclidean norm of a client's update, over all its tensors together.
    """

    name: str = "clip"
    norm: float = Field(1.0, gt=0)

    def client(self, update: Adapter, rng: np.random.Generator) -> Adapter:
        """Return ``update / max(1, |update| / norm)``."""
        return update * (1 / max(1.0, update.norm() / self.norm))
