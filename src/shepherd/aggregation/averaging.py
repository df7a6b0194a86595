"""What every rule that averages updates shares: the weighted mean of a round's updates, from a running sum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

import torch

from shepherd.aggregation.base import Aggregated
from shepherd.aggregation.weighted import Weighted, refuse_nothing
from shepherd.messages import ClientUpdate
from shepherd.model.adapter import Adapter
from shepherd.running_sum import RunningSum
from shepherd.tree import Tree
from shepherd.vectors import part_by_part


@dataclass(frozen=True)
class WeightedSum:
    """A running weighted sum of updates."""

    total: RunningSum
    weight: float


_Sum = TypeVar("_Sum", bound=WeightedSum)


class Averaging(Weighted):
    """An aggregation by ``Delta = sum_k p_k (y_k - x)``; subclasses say what becomes of Delta."""

    additive: ClassVar[bool] = True

    def start(self, adapter: Adapter) -> WeightedSum:
        """Return an empty sum."""
        return WeightedSum(RunningSum.zeros(len(adapter.vector)), 0.0)

    def accumulate(self, accumulator: _Sum, update: ClientUpdate) -> _Sum:
        """Add one client's weighted update."""
        weight = self.weight_of(update)
        accumulator.total.add(update.update.vector, weight)
        return replace(accumulator, weight=accumulator.weight + weight)

    def finish(self, adapter: Adapter, accumulator: WeightedSum, state: Tree) -> Aggregated:
        """Return Delta as it is, for a rule that makes no more of it."""
        return Aggregated(self.mean(adapter, accumulator), state)

    def mean(self, adapter: Adapter, accumulator: WeightedSum) -> Adapter:
        """Return Delta.

        Raises
        ------
        ShepherdError
            If nobody trained on anything.
        """
        mean, _ = self.stepped(adapter, accumulator, lambda delta: (delta,))
        return mean

    def stepped(
        self,
        adapter: Adapter,
        accumulator: WeightedSum,
        formula: Callable[..., tuple[torch.Tensor, ...]],
        *others: torch.Tensor,
    ) -> tuple[Adapter, list[torch.Tensor]]:
        """Return what an elementwise formula makes of Delta.

        Parameters
        ----------
        adapter : Adapter
            The global adapter.
        accumulator : WeightedSum
            Of which Delta is the mean.
        formula : callable
            See `part_by_part`: takes a part of Delta and of each other vector; its first result is the step.
        others : Tensor, [parameters] each
            What the formula needs besides.

        Returns
        -------
        Adapter, list of Tensor
            The step, and the formula's other results, [parameters] each.

        Raises
        ------
        ShepherdError
            If nobody trained on anything.
        """
        refuse_nothing(accumulator.weight)
        weight = accumulator.weight

        def of_total(total: torch.Tensor, *others: torch.Tensor) -> tuple[torch.Tensor, ...]:
            """Apply the formula to the mean."""
            return formula((total / weight).float(), *others)

        step, *rest = part_by_part(of_total, accumulator.total.value, *others)
        return Adapter.from_vector(adapter.layout, step), rest
