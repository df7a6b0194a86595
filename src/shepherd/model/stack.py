"""One or several clients' adapters in training: their values and gradients, one row each.

With one client the rows are the model's own parameters. With several, the model carries tensors with a
leading client axis, and equal blocks of a batch's rows go through one client's adapter each.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from shepherd.model.adapter import Adapter, check_like

if TYPE_CHECKING:
    from shepherd.model.adapted import AdaptedModel


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
            self.values = model.vector[None]
        else:
            for adapter in adapters:
                check_like(adapter, model.initial, "The adapter to train")
            self.values = torch.stack([adapter.vector for adapter in adapters]).to(model.device)
        self.gradients = torch.zeros_like(self.values)

    def __len__(self) -> int:
        return len(self.values)

    @contextmanager
    def carried(self, clients: int) -> Iterator[None]:
        """Have the model compute with the first `clients` adapters and add to their gradients."""
        layout = self._model.layout
        gradients = self.gradients[:clients]
        if len(self) == 1:
            leaves, (gradients,) = dict(self._model.parameters), gradients
        else:
            values = layout.views(self.values[:clients])
            leaves = {name: view.detach().requires_grad_() for name, view in values.items()}
            self._model.lora.carry(leaves)
        for name, gradient in layout.views(gradients).items():
            leaves[name].grad = gradient  # autograd adds in place to a gradient that is there
        try:
            with warnings.catch_warnings():
                # A client's tensors lie apart from the next client's; that is meant.
                warnings.filterwarnings("ignore", "grad and param do not obey the gradient layout contract")
                yield
        finally:
            self._model.lora.carry(None)
            for leaf in leaves.values():
                leaf.grad = None

    def adapters(self) -> list[Adapter]:
        """Return the adapters as they are now."""
        rows = self.values.to("cpu", copy=True)
        return [Adapter.from_vector(self._model.layout, row) for row in rows]
