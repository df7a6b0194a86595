"""SCAFFOLD's server: averaging, and everybody's control variate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import Field

from shepherd.aggregation.averaging import Averaging, WeightedSum
from shepherd.aggregation.base import Aggregated
from shepherd.aggregation.said import said_vector
from shepherd.messages import ClientUpdate
from shepherd.model.adapter import Adapter, Layout
from shepherd.running_sum import RunningSum
from shepherd.training.correction import Correction
from shepherd.training.corrections import ScaffoldCorrection
from shepherd.tree import Tree

_CONTROL = "control"


@dataclass(frozen=True)
class ControlledSum(WeightedSum):
    """A running sum of updates, and one of how clients' control variates changed."""

    controls: RunningSum


class Scaffold(Averaging):
    """``x <- x + lr mean(y_k - x); c <- c + 1/N sum_k (c_k+ - c_k)`` (arXiv 1910.06378, algorithm 1, line 17).

    With ``training.correction: scaffold`` at the clients. It sends and is sent twice the adapter, and each client
    keeps one more. c stays the mean of all clients' c_k as long as what they say arrives.

    Attributes
    ----------
    lr : float
        The server's learning rate, eta_g.
    weights : str
        As FedAvg's; the paper's mean counts clients alike.
    """

    correction: ClassVar[type[Correction] | None] = ScaffoldCorrection
    says_tensors: ClassVar[bool] = True
    hears: ClassVar[tuple[str, ...]] = (_CONTROL,)
    takes_stale: ClassVar[bool] = False  # what clients keep belongs to the adapter they were sent
    name: str = "scaffold"
    weights: Literal["examples", "tokens", "uniform"] = "uniform"
    lr: float = Field(1.0, gt=0)

    def init(self, adapter: Adapter, clients: int) -> Tree:
        """Return c, which is zero, and N."""
        return {_CONTROL: torch.zeros_like(adapter.vector), "clients": clients}

    def told(self, state: Tree) -> Tree:
        """Tell clients c."""
        return {_CONTROL: state[_CONTROL]}

    def check_said(self, said: Tree, layout: Layout) -> None:
        """Refuse a control variate of another shape, or one that is not finite."""
        said_vector(said, _CONTROL, layout)

    def start(self, adapter: Adapter) -> ControlledSum:
        """Return empty sums."""
        empty = super().start(adapter)
        return ControlledSum(empty.total, empty.weight, RunningSum.zeros(len(adapter.vector)))

    def accumulate(self, accumulator: ControlledSum, update: ClientUpdate) -> ControlledSum:  # type: ignore[override]
        """Add one client's update, and how its control variate changed."""
        accumulator.controls.add(update.said[_CONTROL], 1.0)
        return super().accumulate(accumulator, update)

    def finish(self, adapter: Adapter, accumulator: ControlledSum, state: Tree) -> Aggregated:  # type: ignore[override]
        """Step by the mean, and move c by the changes of those that took part."""
        # One client's that is not finite shows in the sum, which is read once, not once a client.
        said = {_CONTROL: accumulator.controls.over(state["clients"])}
        change = said_vector(said, _CONTROL, adapter.layout)

        def step(mean: torch.Tensor, change: torch.Tensor, control: torch.Tensor) -> tuple[torch.Tensor, ...]:
            """Return how far parameters go, and the new c."""
            return mean * self.lr, control + change

        found, (control,) = self.stepped(adapter, accumulator, step, change, state[_CONTROL])
        return Aggregated(found, {**state, _CONTROL: control})
