"""SCAFFOLD's client: its drift from everybody's direction is taken out of every gradient."""

from __future__ import annotations

from typing import ClassVar

import torch

from shepherd.model.adapter import Layout, check_vector
from shepherd.training.correction import Correction, Memory
from shepherd.tree import Tree


class ScaffoldCorrection(Correction):
    """``g - c_k + c`` (Karimireddy et al., arXiv 1910.06378, algorithm 1, line 10), with ``aggregation: scaffold``.

    The client's new control variate is the mean of the gradients of its own loss along the round, before any
    correction or clipping. Under plain SGD that is the paper's option II, ``c_k - c + (x - y) / (K lr)``, exactly.
    Under Adam option II would be wrong in scale, since a step is not the rate times a gradient; the mean is not.
    """

    needs: ClassVar[str] = "scaffold"
    name: str = "scaffold"

    def check_told(self, told: Tree, layout: Layout) -> None:
        """Refuse a control variate of another shape, or one that is not finite."""
        check_vector(told.get("control"), layout, "What clients are told as everybody's control variate")

    def begin(self, start: torch.Tensor, kept: Tree, told: Tree) -> dict[str, torch.Tensor]:
        """Return its own control variate, everybody's, and an empty sum of gradients."""
        own = kept["control"] if "control" in kept else torch.zeros_like(start)
        return {"own": own, "everybody": told["control"], "sum": torch.zeros_like(start)}

    def gradient(
        self, gradient: torch.Tensor, values: torch.Tensor, anchor: torch.Tensor, memory: Memory
    ) -> torch.Tensor:
        """Take its own control variate away and add everybody's."""
        memory["sum"].add_(gradient)
        return gradient - memory["own"] + memory["everybody"]

    def end(self, moved: torch.Tensor, memory: Memory, steps: int) -> tuple[Tree, Tree]:
        """Keep the new control variate, and say how it changed."""
        control = memory["sum"] / steps
        return {"control": control}, {"control": control - memory["own"]}
