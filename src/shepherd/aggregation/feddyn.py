"""FedDyn's server: averaging, less what the clients' regularisers pull the mean by."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from shepherd.aggregation.averaging import Averaging, WeightedSum
from shepherd.aggregation.base import Aggregated
from shepherd.model.adapter import Adapter
from shepherd.training.correction import Correction
from shepherd.training.corrections import FedDynCorrection
from shepherd.tree import Tree


class FedDyn(Averaging):
    """``h <- h - alpha / N sum_S (y_k - x); x <- mean_S y_k - h / alpha`` (arXiv 2111.04263, algorithm 1).

    With ``training.correction: feddyn`` at the clients, of which each keeps one adapter more. h stays the mean of
    all clients' h_k as long as updates arrive as they were trained; a transform that changes them parts the two.
    Where few clients take part a large alpha was seen to diverge.

    Attributes
    ----------
    alpha : float
        The regulariser's weight, the same as the correction's.
    weights : str
        Clients count alike.
    """

    correction: ClassVar[type[Correction] | None] = FedDynCorrection
    takes_stale: ClassVar[bool] = False  # what clients keep belongs to the adapter they were sent
    name: str = "feddyn"
    weights: Literal["uniform"] = "uniform"
    alpha: float = Field(0.01, gt=0)

    def suits(self, config: Any) -> None:
        """Refuse to be without the correction, or with one of another alpha."""
        super().suits(config)
        theirs = config.training.correction.alpha
        if theirs != self.alpha:
            raise ValueError(
                f"aggregation.alpha is {self.alpha:g} and training.correction.alpha {theirs:g}, and feddyn has one "
                "alpha; set both alike"
            )

    def init(self, adapter: Adapter, clients: int) -> Tree:
        """Return h, which is zero, and N."""
        return {"pull": torch.zeros_like(adapter.vector), "clients": clients}

    def finish(self, adapter: Adapter, accumulator: WeightedSum, state: Tree) -> Aggregated:
        """Step to the mean of the clients, less h over alpha."""
        share = accumulator.weight / state["clients"]  # of everybody, how many took part

        def step(mean: torch.Tensor, pull: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            """Return how far parameters go, and the new h."""
            pull = pull - mean * (self.alpha * share)
            return mean.sub(pull, alpha=1 / self.alpha), pull

        found, (pull,) = self.stepped(adapter, accumulator, step, state["pull"])
        return Aggregated(found, {**state, "pull": pull})
