"""Corrections: what is added to a client's gradient to keep its local training near everybody else's.

A correction is element by element, so the same line serves one client and several trained at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from shepherd.strategy import Strategy
from shepherd.tree import Tree

if TYPE_CHECKING:
    from shepherd.model.adapter import Layout
    from shepherd.training.base import LocalTask

Memory = Mapping[str, torch.Tensor]


class Correction(Strategy):
    """Changes the gradient of every local step, before it is clipped.

    Attributes
    ----------
    needs : str
        The aggregation that it does not work without; empty where any will do.
    """

    needs: ClassVar[str] = ""

    def suits(self, config: Any) -> None:
        """Refuse to be without the aggregation that belongs to it."""
        partner = getattr(config.aggregation, "correction", None)
        if self.needs and not (partner is not None and isinstance(self, partner)):
            raise ValueError(
                f"training.correction {self.name} works only with the aggregation that belongs to it; set "
                f"aggregation.name={self.needs}, or choose another correction, e.g. fedprox"
            )

    def check_told(self, told: Tree, layout: Layout) -> None:
        """Refuse what clients are told where `begin` cannot work with it; nothing by default.

        Parameters
        ----------
        told : Tree
            As `begin` takes it; over a network nothing about it is trusted.
        layout : Layout
            The adapter's.

        Raises
        ------
        ShepherdError
            Saying what is wrong with it.
        """

    def begin(self, start: torch.Tensor, kept: Tree, told: Tree) -> dict[str, torch.Tensor]:
        """Return what a client works with in one round: tensors of the adapter's shape; none by default.

        Parameters
        ----------
        start : Tensor, [parameters]
            The adapter it begins with.
        kept : Tree
            What `end` had it keep of its previous round; empty at first.
        told : Tree
            What the aggregation tells the round's clients; see `Aggregation.told`.
        """
        return {}

    def gradient(
        self, gradient: torch.Tensor, values: torch.Tensor, anchor: torch.Tensor, memory: Memory
    ) -> torch.Tensor:
        """Return the corrected gradient.

        Parameters
        ----------
        gradient : Tensor, [clients, parameters]
            The gradient of the local loss; zero where nothing is trained.
        values : Tensor, [clients, parameters]
            The clients' adapters now.
        anchor : Tensor, [clients, parameters]
            The global adapter they started the round from.
        memory : mapping of str to Tensor, [clients, parameters]
            What `begin` returned, of every client. A running sum in it may be added to in place.
        """
        raise NotImplementedError

    def end(self, moved: torch.Tensor, memory: Memory, steps: int) -> tuple[Tree, Tree]:
        """Return what a client keeps for its next round, and what the server is to hear; nothing by default.

        Parameters
        ----------
        moved : Tensor, [parameters]
            How far it got: its adapter now, minus the one it began with.
        memory : mapping of str to Tensor, [parameters]
            What it worked with.
        steps : int
            Optimiser steps it took.
        """
        return {}, {}


class CorrectedStack:
    """A correction at work on the rows of a stack of clients.

    Parameters
    ----------
    correction : Correction
        What to do.
    values : Tensor, [clients, parameters]
        The clients' adapters as they begin.
    tasks : sequence of LocalTask, [clients]
        Whose they are.
    """

    def __init__(self, correction: Correction, values: torch.Tensor, tasks: Sequence[LocalTask]) -> None:
        self.correction = correction
        self.anchor = values.clone()
        begun = [
            correction.begin(start, task.state.get("correction", {}), task.told)
            for start, task in zip(self.anchor, tasks, strict=True)
        ]
        self.memory = {name: torch.stack([one[name].to(values.device) for one in begun]) for name in begun[0]}

    def correct(self, gradients: torch.Tensor, values: torch.Tensor) -> None:
        """Correct the gradients of the first so many clients, in place."""
        left = len(gradients)
        memory = {name: rows[:left] for name, rows in self.memory.items()}
        gradients.copy_(self.correction.gradient(gradients, values, self.anchor[:left], memory))

    def end(self, row: int, values: torch.Tensor, steps: int) -> tuple[Tree, Tree]:
        """Return what one client keeps and says; `values` are its own, [parameters]."""
        memory = {name: rows[row] for name, rows in self.memory.items()}
        kept, said = self.correction.end(values - self.anchor[row], memory, steps)
        return _at_rest(kept), _at_rest(said)


def _at_rest(tree: Tree) -> Tree:
    """Return a tree whose tensors are its own, on the CPU."""
    return {
        name: value.to("cpu", copy=True) if isinstance(value, torch.Tensor) else value
        for name, value in tree.items()
    }
