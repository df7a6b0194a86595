"""Averaging with momentum at the server."""

from __future__ import annotations

import torch
from pydantic import Field

from shepherd.aggregation.averaging import Averaging, WeightedSum
from shepherd.aggregation.base import Aggregated
from shepherd.model.adapter import Adapter
from shepherd.tree import Tree


class FedAvgM(Averaging):
    """``m <- b m + Delta; x <- x + lr m`` (Hsu et al., arXiv 1909.06335), Delta being FedAvg's mean.

    Attributes
    ----------
    lr : float
        The server's learning rate.
    momentum : float
        b, in [0, 1).
    damped : bool
        ``m <- b m + (1 - b) Delta`` instead, as OpenFedLLM has it: steps as long as FedAvg's, not 1 / (1 - b) times.
    """

    name: str = "fedavgm"
    lr: float = Field(1.0, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    damped: bool = False

    def init(self, adapter: Adapter, clients: int) -> Tree:
        """Return m, which is zero."""
        return {"momentum": torch.zeros_like(adapter.vector)}

    def finish(self, adapter: Adapter, accumulator: WeightedSum, state: Tree) -> Aggregated:
        """Step along the momentum."""
        fresh = 1 - self.momentum if self.damped else 1.0

        def step(delta: torch.Tensor, momentum: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            """Return how far parameters go, and the new momentum."""
            momentum = (momentum * self.momentum).add_(delta, alpha=fresh)
            return momentum * self.lr, momentum

        found, (momentum,) = self.stepped(adapter, accumulator, step, state["momentum"])
        return Aggregated(found, {"momentum": momentum})
