"""Dropout whose every draw has an address: what drops out does not depend on how tokens are batched.

A token's key is made from the client's seed, the optimiser step, the example's place in the batch and the
token's position. Hashed with the layer and the feature it says whether that value is kept: no generator is
consumed, so one client at a time, several at once, and any cut into micro-batches drop the same values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from shepherd.errors import ShepherdError

# splitmix64 (Steele, Lea and Flood, OOPSLA 2014): the increment and the finaliser's two factors.
_STEP, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def token_keys(seed: int, step: int, example: int, length: int, start: int = 0) -> np.ndarray:
    """Return the keys of the tokens of an example, uint64 [length], from position `start` on."""
    key = np.array([seed], dtype=np.uint64)
    for part in (step, example):
        key = _mixed(key + np.uint64((part + 1) * _STEP % 2**64))
    return _mixed(key + np.arange(start + 1, start + length + 1, dtype=np.uint64) * np.uint64(_STEP))


def _mixed(key: np.ndarray) -> np.ndarray:
    key = (key ^ (key >> np.uint64(30))) * np.uint64(_FIRST)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(_SECOND)
    return key ^ (key >> np.uint64(31))


@dataclass(frozen=True)
class Dropout:
    """What drops out of a batch.

    Attributes
    ----------
    keys : LongTensor, [tokens]
        The key of every token of the batch, padding included.
    """

    keys: torch.Tensor

    def kept(self, layer: int, share: float, x: torch.Tensor) -> torch.Tensor:
        """Return factors for x [tokens, features]: 0 where a value drops out, else 1 / (1 - share).

        Parameters
        ----------
        layer : int
            The layer's number; every layer drops out something else.
        share : float
            The probability of dropping out, in (0, 1).
        x : Tensor
            The values.

        Raises
        ------
        ShepherdError
            If the layer does not see every token of the batch.
        """
        if len(x) != len(self.keys):
            raise ShepherdError(
                "adapter.dropout needs layers that see every token, as a head or an expert does not; set "
                "adapter.dropout=0 or name other adapter.targets."
            )
        features = torch.arange(1, x.shape[1] + 1, device=x.device) * _signed(_STEP)
        drawn = _mixed_tensor(self.keys[:, None] + (features + _signed(layer * _FIRST % 2**64)))
        # The low 31 bits, uniform in [0, 1).
        uniform = (drawn & 0x7FFFFFFF).to(torch.float32) / 2**31
        return (uniform >= share).to(x.dtype) / (1 - share)


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _mixed_tensor(key: torch.Tensor) -> torch.Tensor:
    # Torch has no uint64 products, but wrapped int64 ones have the same bits. Its shift keeps the sign,
    # which is masked off.
    key = (key ^ ((key >> 30) & 0x3FFFFFFFF)) * _signed(_FIRST)
    key = (key ^ ((key >> 27) & 0x1FFFFFFFFF)) * _signed(_SECOND)
    return key ^ ((key >> 31) & 0x1FFFFFFFF)
