"""Addressed randomness: every draw comes from a generator keyed by what it is for.

There is no global generator and nothing is consumed, so a result does not depend on the order or the
place in which clients run, and a resumed run draws what an uninterrupted one would have drawn.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def _key(seed: int, purpose: str, address: tuple[int | str, ...]) -> int:
    text = "\x1f".join([str(seed), purpose, *map(str, address)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")


def generator(seed: int, purpose: str, *address: int | str) -> np.random.Generator:
    """Return the NumPy generator that belongs to (seed, purpose, address).

    Parameters
    ----------
    seed : int
        The run's seed.
    purpose : str
        What the draw is for, e.g. ``"participation"``.
    *address : int or str
        Where in the run it is made, e.g. the round and the client.
    """
    return np.random.default_rng(_key(seed, purpose, address))


def torch_seed(seed: int, purpose: str, *address: int | str) -> int:
    """Return the 63-bit torch seed that belongs to (seed, purpose, address)."""
    return _key(seed, purpose, address) & (2**63 - 1)


def torch_generator(
    seed: int, purpose: str, *address: int | str, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return the torch generator that belongs to (seed, purpose, address)."""
    # Seconds to import, which those who wait between two requests, or draw a bootstrap, can do without.
    import torch

    return torch.Generator(device=device).manual_seed(torch_seed(seed, purpose, *address))
