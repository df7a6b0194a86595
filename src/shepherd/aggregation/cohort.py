"""Every client's trained LoRA: what rules on products B A need, so their memory grows with the cohort."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch

from shepherd.aggregation.weighted import refuse_nothing
from shepherd.messages import ClientUpdate
from shepherd.model.adapter import Adapter
from shepherd.model.lanes import in_lanes
from shepherd.model.lora_pairs import Factors, Pair, pairs_of, product_norm
from shepherd.model.part import Part

Found = TypeVar("Found")


@dataclass(frozen=True)
class Trained:
    """One client's: what it counts, and the adapter it ended with, cut to what it holds."""

    weight: float
    adapter: Adapter


@dataclass(frozen=True)
class Cohort:
    """A round's clients.

    Attributes
    ----------
    start : Adapter
        The global adapter the round began with.
    clients : tuple of Trained
        In the order in which they came.
    """

    start: Adapter
    clients: tuple[Trained, ...] = field(default=())

    def joined(self, update: ClientUpdate, weight: float) -> Cohort:
        """Return the cohort with one more client in it."""
        held = update.held or Part.everything(self.start.layout)
        trained = held.cut(self.start) + held.cut(update.update)
        return replace(self, clients=(*self.clients, Trained(weight, trained)))

    def check(self) -> None:
        """Refuse a cohort that trained on nothing."""
        refuse_nothing(sum(client.weight for client in self.clients))

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The modules."""
        return pairs_of(self.start.layout)

    def of_each(self, function: Callable[[Pair], Found]) -> list[Found]:
        """Return what a function gives for every module; they are computed side by side, on a core each."""
        return list(in_lanes(function, self.pairs, torch.get_num_threads()))

    def holders(self, pair: Pair) -> list[Trained]:
        """Return the clients that hold a module and count."""
        return [client for client in self.clients if pair.a in client.adapter and client.weight > 0]

    def factors(self, pair: Pair) -> Iterator[tuple[float, torch.Tensor, torch.Tensor]]:
        """Yield (p, B, A) of every client that holds a module, in float64; their p sum to one.

        Who does not hold the module has no say in it; of a module that nobody holds, the global factors count.
        """
        holders = self.holders(pair) or [Trained(1.0, self.start)]
        total = sum(client.weight for client in holders)
        for client in holders:
            a, b = client.adapter[pair.a], client.adapter[pair.b]
            yield client.weight / total, b.double(), a.double()

    def product(self, pair: Pair) -> Factors:
        """Return the factors of ``M = sum_k p_k B_k A_k``: ``[p_1 B_1, ..., p_n B_n]`` and A_1 to A_n, stacked."""
        shares, left, right = zip(*self.factors(pair), strict=True)
        return torch.cat([p * b for p, b in zip(shares, left, strict=True)], dim=1), torch.cat(right)

    def means(self, pair: Pair) -> Factors:
        """Return the averages of B and of A; a client of a smaller rank counts as padded with zeros."""
        b = torch.zeros(self.start[pair.b].shape, dtype=torch.float64)
        a = torch.zeros(self.start[pair.a].shape, dtype=torch.float64)
        for p, own_b, own_a in self.factors(pair):
            b[:, : own_b.shape[1]] += p * own_b
            a[: own_a.shape[0]] += p * own_a
        return b, a

    def gap(self, pair: Pair) -> Factors:
        """Return the factors of what averaging A and B misses of M: ``sum_k p_k (B_k - mean B) (A_k - mean A)``."""
        mean_b, mean_a = self.means(pair)
        left, right = [], []
        for p, b, a in self.factors(pair):
            apart_b, apart_a = -mean_b, -mean_a
            apart_b[:, : b.shape[1]] += b
            apart_a[: a.shape[0]] += a
            left.append(p * apart_b)
            right.append(apart_a)
        return torch.cat(left, dim=1), torch.cat(right)

    def product_error(self) -> float:
        """Return ``|M - mean B mean A| / |M|`` over all modules together, in Frobenius norms; 0 where M is zero."""

        def squares(pair: Pair) -> tuple[float, float]:
            """Return the squared norms of one module's."""
            return product_norm(*self.gap(pair)) ** 2, product_norm(*self.product(pair)) ** 2

        missed, whole = (sum(part) for part in zip(*self.of_each(squares), strict=True))
        return (missed / whole) ** 0.5 if whole > 0 else 0.0
