"""What federated rules add to the base's own weights: by module a product of two narrow factors, never a dense matrix.

``W = W0 + s (U V)`` beside the trained ``s B A``, with LoRA's scale s. It is the adapter of a larger rank of which only
the last rows are trained, and that is also how it is exported.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from shepherd.errors import ShepherdError
from shepherd.model.adapter import Layout
from shepherd.model.lora_pairs import Factors, Pair
from shepherd.tree import Tree


def to_tree(factors: Mapping[str, Factors]) -> Tree:
    """Return factors, by module, as a tree."""
    return {module: {"left": left, "right": right} for module, (left, right) in factors.items()}


def from_tree(tree: Tree) -> dict[str, Factors]:
    """Undo `to_tree`."""
    return {module: (pair["left"], pair["right"]) for module, pair in tree.items()}


def check_residual(residual: Tree, layout: Layout) -> None:
    """Refuse factors that cannot be added to the modules of an adapter; over a network they come from outside.

    Raises
    ------
    ShepherdError
        Naming the first module that is wrong.
    """
    shapes = dict(zip(layout.names, layout.shapes, strict=True))
    for module, pair in residual.items():
        wide, tall = shapes.get(Pair(module).a), shapes.get(Pair(module).b)
        if wide is None or tall is None:
            raise ShepherdError(
                f"Something is to be added to the base's '{module}', which is no linear layer that this run adapts; "
                "use the same adapter config and version of shepherd everywhere."
            )
        if not _fits(pair, tall[0], wide[1]):
            raise ShepherdError(
                f"What is to be added to the base's '{module}' are no finite float32 factors of a "
                f"{tall[0]} x {wide[1]} matrix; lower the learning rate, or look at who sent them."
            )


def _fits(pair: object, out: int, wide: int) -> bool:
    if not isinstance(pair, Mapping) or set(pair) != {"left", "right"}:
        return False
    left, right = pair["left"], pair["right"]
    if not all(
        isinstance(factor, torch.Tensor) and factor.dtype == torch.float32 for factor in (left, right)
    ):
        return False
    rank = left.shape[-1] if left.dim() == 2 else 0
    shaped = left.shape == (out, rank) and right.shape == (rank, wide) and 0 < rank <= min(out, wide)
    return shaped and all(bool(factor.isfinite().all()) for factor in (left, right))


def added(before: Mapping[str, Factors], more: Mapping[str, Factors]) -> dict[str, Factors]:
    """Return the factors of the sum of two products, module by module; their rank is at most the matrix's.

    The ranks add up; beyond the rank that any matrix of this shape can have, the product is factored anew, which is
    exact up to rounding.
    """
    found = dict(before)
    for module, (left, right) in more.items():
        if module in found:
            left = torch.cat([found[module][0], left], dim=1)
            right = torch.cat([found[module][1], right], dim=0)
        found[module] = _no_wider_than_needed(left, right)
    return found


def _no_wider_than_needed(left: torch.Tensor, right: torch.Tensor) -> Factors:
    out, rank = left.shape
    if rank <= min(out, right.shape[1]):
        return left, right
    # Of a product that may have full rank one factor is the matrix itself, the other nothing.
    product = left.double() @ right.double()
    if out <= right.shape[1]:
        return torch.eye(out), product.float()
    return product.float(), torch.eye(right.shape[1])
