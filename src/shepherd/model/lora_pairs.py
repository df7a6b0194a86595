"""LoRA's tensors two by two: of each adapted module its A [rank, in] and its B [out, rank]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from shepherd.errors import ShepherdError
from shepherd.model.adapter import Adapter, Layout

#: Of a module: U [out, rank] and V [rank, in], whose product is meant.
Factors = tuple[torch.Tensor, torch.Tensor]
_A, _B = ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True)
class Pair:
    """The two tensors of one module.

    Attributes
    ----------
    module : str
        The module, as PEFT saves its tensors by it.
    """

    module: str

    @property
    def a(self) -> str:
        """The name of A."""
        return self.module + _A

    @property
    def b(self) -> str:
        """The name of B."""
        return self.module + _B


def is_a(name: str) -> bool:
    """Say whether a tensor is the A of a module, an embedding's too."""
    return ".lora_A." in name or ".lora_embedding_A" in name


def is_b(name: str) -> bool:
    """Say whether a tensor is the B of a module, an embedding's too."""
    return ".lora_B." in name or ".lora_embedding_B" in name


def pairs_of(layout: Layout) -> tuple[Pair, ...]:
    """Return the pairs of a layout, in its order.

    Raises
    ------
    ShepherdError
        If a tensor belongs to none: the adapter is not ``W0 + s B A`` throughout.
    """
    found = tuple(Pair(name.removesuffix(_A)) for name in layout.names if name.endswith(_A))
    paired = {name for pair in found for name in (pair.a, pair.b)}
    for name in layout.names:
        if name not in paired:
            raise ShepherdError(
                f"The aggregation needs LoRA's A and B of every module, and '{name}' is neither; choose linear layers "
                "as adapter.targets, or aggregation.name=fedavg."
            )
    return found


def stacked(parts: Sequence[tuple[Adapter, float]]) -> Adapter:
    """Return the one adapter whose products are ``sum over parts of weight * B A``; its rank is that of all together.

    Parameters
    ----------
    parts : sequence of (Adapter, float)
        Adapters of one layout, and what each counts. One whose weight is zero takes no room, unless all are.
    """
    counted = [part for part in parts if part[1] != 0] or parts[:1]
    found = {}
    for pair in pairs_of(parts[0][0].layout):
        found[pair.a] = torch.cat([adapter[pair.a] for adapter, _ in counted])
        found[pair.b] = torch.cat([weight * adapter[pair.b] for adapter, weight in counted], dim=1)
    return Adapter(found)


def product_norm(left: torch.Tensor, right: torch.Tensor) -> float:
    """Return the Frobenius norm of ``left @ right`` without making it: by the two Gram matrices, in float64."""
    left, right = left.double(), right.double()
    return float(((left.T @ left) * (right @ right.T)).sum().clamp(min=0).sqrt())
