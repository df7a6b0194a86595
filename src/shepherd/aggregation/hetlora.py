"""HetLoRA: adapters of different ranks, padded with zeros."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from shepherd.aggregation.base import Aggregated, Aggregation
from shepherd.aggregation.weighted import refuse_nothing
from shepherd.messages import ClientUpdate
from shepherd.model.adapter import Adapter
from shepherd.model.lanes import in_lanes
from shepherd.model.lora_pairs import Pair, pairs_of, product_norm
from shepherd.model.part import Part
from shepherd.running_sum import RunningSum
from shepherd.tree import Tree

#: What a client counts beside its norm: nothing, but that clients without any norm count alike.
_LEAST = 1e-30


@dataclass(frozen=True)
class PaddedSum:
    """A running weighted sum of the adapters that clients ended with, and of the weights of each tensor, in float64.

    Attributes
    ----------
    start : Adapter
        The global adapter the round began with.
    total, weights : RunningSum, Tensor
        The sums.
    clients : int
        How many trained on something.
    reach : Part
        What any of them holds.
    """

    start: Adapter
    total: RunningSum
    weights: torch.Tensor
    clients: int
    reach: Part


class HetLoRA(Aggregation):
    """HetLoRA (Cho et al., arXiv 2401.06432, section 4): ``A = sum_k p_k A_k``, ``B = sum_k p_k B_k``, zero-padded.

    A client counts by what it learnt, not by its examples: p_k is proportional to ``|B_k A_k|``, in the Frobenius norm
    over all its modules (the paper's sparsity weights). Its pruning of ranks by clients themselves is left out.
    A and B are averaged apart, so the product is not the average of the products. Rows of A and columns of B that
    nobody of a round holds stay as they are: zero in both, as the sums have them, they could never be trained again.

    Costs: clients of a smaller rank are sent and send less, the others as much as with fedavg. The server must see each
    update; the base may be quantised.
    """

    lora_only: ClassVar[bool] = True
    mixed_ranks: ClassVar[bool] = True
    sees_each: ClassVar[bool] = True
    name: str = "hetlora"

    def init(self, adapter: Adapter, clients: int) -> Tree:
        """Refuse an adapter that has no pairs of factors; return no state."""
        pairs_of(adapter.layout)
        return {}

    def start(self, adapter: Adapter) -> PaddedSum:
        """Return an empty sum."""
        empty = RunningSum.zeros(len(adapter.vector))
        weights = torch.zeros(len(adapter), dtype=torch.float64)
        return PaddedSum(adapter, empty, weights, 0, Part.of(adapter.layout, {}))

    def accumulate(self, accumulator: PaddedSum, update: ClientUpdate) -> PaddedSum:
        """Add what one client ended with, padded; of modules it does not hold, nothing."""
        start = accumulator.start
        held = update.held or Part.everything(start.layout)
        trained = held.cut(start) + held.cut(update.update)
        weight = _norm(trained) + _LEAST
        accumulator.total.add(held.pad(trained).vector, weight)
        there = torch.tensor([name in trained for name in start], dtype=torch.float64)
        accumulator.weights.add_(there, alpha=weight)
        clients = accumulator.clients + (update.examples > 0)
        return replace(accumulator, clients=clients, reach=_both(accumulator.reach, held))

    def finish(self, adapter: Adapter, accumulator: PaddedSum, state: Tree) -> Aggregated:
        """Return the step to the averages; what nobody held stays as it is."""
        refuse_nothing(accumulator.clients)
        totals = adapter.layout.views(accumulator.total.value)
        weights = dict(zip(adapter, accumulator.weights.clamp(min=_LEAST), strict=True))
        step = {name: totals[name] / weights[name] - before.double() for name, before in adapter.items()}
        return Aggregated(accumulator.reach.pad(accumulator.reach.cut(Adapter(step))), state)


def _both(one: Part, other: Part) -> Part:
    """Return the smallest part that two parts belong to."""
    shapes = dict(one.shapes)
    for name, shape in other.shapes:
        shapes[name] = torch.Size(map(max, shape, shapes.get(name, shape)))
    return Part.of(one.whole, shapes)


def _norm(adapter: Adapter) -> float:
    """Return the Frobenius norm of all of an adapter's products together."""

    def square(pair: Pair) -> float:
        """Return one module's, squared."""
        return product_norm(adapter[pair.b], adapter[pair.a]) ** 2

    return float(sum(in_lanes(square, pairs_of(adapter.layout), torch.get_num_threads())) ** 0.5)
