"""A prompt's beginning that many rows share, computed once: its keys and values, with their gradient.

The template's opening words, or a task's whole definition, come before every example that has them. With
a causal model nothing after them reaches them, so every row would compute the same keys and values. Here
they are computed once; the rows' gradients of them add up and go back through them once. That is exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

if TYPE_CHECKING:
    from shepherd.model.adapted import AdaptedModel


class SharedPrefix:
    """The keys and values of one prefix under the adapter that is in `model` now.

    Parameters
    ----------
    model : AdaptedModel
        The model.
    tokens : LongTensor, [length]
        The prefix.
    """

    def __init__(self, model: AdaptedModel, tokens: torch.Tensor) -> None:
        cache = DynamicCache()
        model.backbone(input_ids=tokens[None], past_key_values=cache, use_cache=True)
        self._computed = [(layer.keys, layer.values) for layer in cache.layers]
        self._leaves = [
            tuple(part.detach().requires_grad_(part.requires_grad) for part in pair)
            for pair in self._computed
        ]

    def cache(self) -> Cache:
        """Return what the model takes as the past of every row of a batch, whatever their number."""
        return Cache(layers=[_PrefixLayer(keys, values) for keys, values in self._leaves])

    def backward(self) -> None:
        """Send the gradients that batches left at the keys and values back into the adapter."""
        reached = [
            (computed, leaf.grad)
            for pair, leaves in zip(self._computed, self._leaves, strict=True)
            for computed, leaf in zip(pair, leaves, strict=True)
            if leaf.grad is not None
        ]
        if reached:
            tensors, gradients = zip(*reached, strict=True)
            torch.autograd.backward(tensors, gradients)


class _PrefixLayer(DynamicLayer):
    """One layer's past: the same prefix before every row. It keeps nothing of what comes after."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()
        self.keys, self.values = keys, values
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the rows' keys and values behind the prefix's."""
        rows = key_states.shape[0]
        return (
            torch.cat([self.keys.expand(rows, -1, -1, -1), key_states], dim=-2),
            torch.cat([self.values.expand(rows, -1, -1, -1), value_states], dim=-2),
        )
