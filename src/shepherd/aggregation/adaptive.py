"""What the adaptive server optimisers share: a learning rate for each parameter, from the squares of past updates."""

from __future__ import annotations

import torch
from pydantic import Field

from shepherd.aggregation.averaging import Averaging, WeightedSum
from shepherd.aggregation.base import Aggregated
from shepherd.model.adapter import Adapter
from shepherd.tree import Tree


class Adaptive(Averaging):
    """``m <- b1 m + (1 - b1) Delta; x <- x + lr m / (sqrt(v) + tau)`` (Reddi et al., arXiv 2003.00295, algorithm 2).

    Delta is FedAvg's mean; how v follows its square is what the three rules differ in. As in the paper v begins at
    tau squared and neither m nor v is corrected for its beginning.

    Attributes
    ----------
    lr : float
        The server's learning rate; 1e-3 served LoRA (OpenFedLLM, arXiv 2402.06954).
    beta_1 : float
        How much of m stays, in [0, 1).
    tau : float
        How little counts as no change: the smaller, the more steps adapt.
    v_0 : float, optional
        What v begins at; tau squared unless told. Flower begins at 0.
    """

    lr: float = Field(1e-3, gt=0)
    beta_1: float = Field(0.9, ge=0, lt=1)
    tau: float = Field(1e-3, gt=0)
    v_0: float | None = Field(None, ge=0)

    def init(self, adapter: Adapter, clients: int) -> Tree:
        """Return m and v before the first round."""
        first = torch.full_like(adapter.vector, self.first())
        return {"momentum": torch.zeros_like(adapter.vector), "squares": first, "steps": 0}

    def first(self) -> float:
        """Return what v begins at."""
        return self.tau**2 if self.v_0 is None else self.v_0

    def follow(self, squares: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
        """Return the new v.

        Parameters
        ----------
        squares : Tensor, [some parameters]
            v.
        square : Tensor, [some parameters]
            The square of Delta.
        """
        raise NotImplementedError

    def rate(self, step: int) -> float:
        """Return the learning rate of step `step`, from 1."""
        return self.lr

    def finish(self, adapter: Adapter, accumulator: WeightedSum, state: Tree) -> Aggregated:
        """Step along m, each parameter at its own rate."""
        steps = int(state["steps"]) + 1
        rate = self.rate(steps)

        def step(
            delta: torch.Tensor, momentum: torch.Tensor, squares: torch.Tensor
        ) -> tuple[torch.Tensor, ...]:
            """Return how far parameters go, and the new m and v."""
            momentum = (momentum * self.beta_1).add_(delta, alpha=1 - self.beta_1)
            squares = self.follow(squares, delta.square())
            return squares.sqrt().add_(self.tau).reciprocal_().mul_(momentum).mul_(rate), momentum, squares

        kept = state["momentum"], state["squares"]
        found, (momentum, squares) = self.stepped(adapter, accumulator, step, *kept)
        return Aggregated(found, {"momentum": momentum, "squares": squares, "steps": steps})
