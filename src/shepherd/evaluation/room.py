"""Keys and values with room to grow in: a new token's are written behind the others, which stay where they are.

Transformers joins old and new into a tensor of its own at every step, which was 40 % of a small model's time on a CPU.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

#: Tokens that are made room for at a time.
_ROOM = 64


def make_room(past: Any) -> Any:
    """Return the cache that a model made of its prompts, with room in it; one of another kind as it is."""
    if type(past) is DynamicCache and all(type(layer) is DynamicLayer for layer in past.layers):
        past.layers = [_RoomyLayer(layer) for layer in past.layers]
    return past


class _RoomyLayer(DynamicLayer):
    """One layer's keys and values, which are the beginnings of larger tensors."""

    def __init__(self, layer: DynamicLayer) -> None:
        super().__init__()
        self.dtype, self.device, self.is_initialized = layer.dtype, layer.device, True
        self._length = layer.keys.shape[-2]
        self._pair = [_with_room(part) for part in (layer.keys, layer.values)]
        self._show()

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new tokens' behind the others, and return all."""
        start, self._length = self._length, self._length + key_states.shape[-2]
        while self._length > self._pair[0].shape[-2]:
            self._pair = [_with_room(part) for part in self._pair]
        for part, new in zip(self._pair, (key_states, value_states), strict=True):
            part[..., start : self._length, :] = new
        self._show()
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these rows only."""
        self._pair = [part[indices] for part in self._pair]
        self._show()

    def _show(self) -> None:
        self.keys, self.values = (part[..., : self._length, :] for part in self._pair)


def _with_room(part: torch.Tensor) -> torch.Tensor:
    rows, heads, length, width = part.shape
    roomy = part.new_empty(rows, heads, length + _ROOM, width)
    roomy[..., :length, :] = part
    return roomy
