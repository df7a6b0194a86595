"""One or several clients' adapters in training: their values and gradients, one row each.

With one client the rows are the model's own parameters. With several, the model carries tensors with a
leading client axis, and equal blocks of a batch's rows go through one client's adapter each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from shepherd.model.adapter import Adapter, check_like

if TYPE_CHECKING:
    from shepherd.model.adapted import AdaptedModel


@dataclass(frozen=True)
class Carried:
    """What the model computes with, and where its gradients are added up.

    Attributes
    ----------
    leaves : list of Tensor
        The adapters' tensors, to be differentiated with respect to.
    sums : list of Tensor
        As many tensors of the same shapes: the stack's gradients.
    """

    leaves: list[torch.Tensor]
    sums: list[torch.Tensor]

    def add(self, gradients: Sequence[torch.Tensor | None]) -> None:
        """Add gradients of `leaves`; None where a loss does not depend on one."""
        found = [(to, each) for to, each in zip(self.sums, gradients, strict=True) if each is not None]
        if found:
            to, each = zip(*found, strict=True)
            torch._foreach_add_(to, each)  # one kernel on a GPU


class AdapterStack:
    """Adapters being trained.

    Parameters
    ----------
    model : AdaptedModel
        Computes with them; must carry stacks if there is more than one.
    adapters : sequence of Adapter, [clients]
        Where each starts.

    Attributes
    ----------
    values, gradients : Tensor, [clients, parameters]
        One row a client, in the adapters' layout.
    """

    def __init__(self, model: AdaptedModel, adapters: Sequence[Adapter]) -> None:
        self._model = model
        if len(adapters) == 1:
            model.write(adapters[0])
            self.values, self.gradients = model.vector[None], model.gradient[None]
        else:
            for adapter in adapters:
                check_like(adapter, model.initial, "The adapter to train")
            self.values = torch.stack([adapter.vector for adapter in adapters]).to(model.device)
            self.gradients = torch.zeros_like(self.values)

    def __len__(self) -> int:
        return len(self.values)

    @contextmanager
    def carried(self, clients: int) -> Iterator[Carried]:
        """Have the model compute with the first `clients` adapters."""
        if len(self) == 1:
            yield self._model.alone
            return
        layout = self._model.layout
        leaves = {
            name: view.detach().requires_grad_() for name, view in layout.views(self.values[:clients]).items()
        }
        with self._model.lora.carrying(leaves):
            yield Carried(list(leaves.values()), list(layout.views(self.gradients[:clients]).values()))

    def adapters(self) -> list[Adapter]:
        """Return the adapters as they are now."""
        rows = self.values.to("cpu", copy=True)
        return [Adapter.from_vector(self._model.layout, row) for row in rows]
