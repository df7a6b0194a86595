"""Small whole numbers in as few bytes as they need."""

from __future__ import annotations

import numpy as np
import torch

#: What a byte of gaps says when it leaves as many places out as it can, and keeps none.
_SKIP = 255


def packed_bytes(count: int, bits: int) -> int:
    """Return how many bytes `pack` makes of so many codes."""
    return -(-count // (8 // bits))


def pack(codes: torch.Tensor, bits: int) -> torch.Tensor:
    """Put codes below ``2 ** bits`` side by side into bytes, the first in a byte's lowest bits.

    Parameters
    ----------
    codes : Tensor of uint8, [count]
        What is packed.
    bits : int
        Of each: 1, 2, 4 or 8.
    """
    each = 8 // bits
    filled = torch.zeros(packed_bytes(len(codes), bits) * each, dtype=torch.uint8)
    filled[: len(codes)] = codes
    columns = filled.view(-1, each)
    packed = torch.zeros(len(columns), dtype=torch.uint8)
    for place in range(each):
        packed |= columns[:, place] << (place * bits)
    return packed


def unpack(packed: torch.Tensor, count: int, bits: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Undo `pack`: return the codes, and what stands behind the last of them, which `pack` leaves zero."""
    columns = [(packed >> (place * bits)) & (2**bits - 1) for place in range(8 // bits)]
    codes = torch.stack(columns, dim=1).view(-1)
    return codes[:count], codes[count:]


def write_gaps(places: np.ndarray) -> torch.Tensor:
    """Write ascending places down by the gaps between them, one byte each but for gaps of 255 and more.

    A byte below 255 leaves as many places out and takes the next; 255 leaves 255 out and takes none. So no place can
    be there twice, and of one value in a hundred the places take little more than a byte each.

    Parameters
    ----------
    places : ndarray of int64
        Different ones, in ascending order.
    """
    gaps = np.diff(places, prepend=-1) - 1
    skips = gaps // _SKIP
    found = np.full(len(gaps) + int(skips.sum()), _SKIP, dtype=np.uint8)
    found[np.cumsum(skips + 1) - 1] = gaps % _SKIP
    return torch.from_numpy(found)


def count_places(written: torch.Tensor) -> int:
    """Return how many places `read_gaps` finds, without finding them: that takes eight bytes for each of these."""
    return int((written < _SKIP).sum())


def most_gap_bytes(count: int, end: int) -> int:
    """Return how many bytes `write_gaps` makes at most of `count` places below `end`."""
    return count + end // _SKIP


def read_gaps(written: torch.Tensor) -> np.ndarray:
    """Undo `write_gaps`; what `written` holds is read as it is, whatever it is."""
    gaps = written.numpy().astype(np.int64)
    taken = gaps < _SKIP
    ends = np.cumsum(gaps + taken)
    return np.asarray(ends[taken] - 1)
