"""What the allocation schemes share: refusing the impossible, and turning owners into clients."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence

import numpy as np

from shepherd.data.allocation.base import Allocated
from shepherd.data.instructions import Instructions
from shepherd.errors import ShepherdError

_log = logging.getLogger(__name__)


def refuse_too_few_rows(instructions: Instructions, needed: int, reason: str, remedy: str) -> None:
    """Refuse to deal when there are fewer than `needed` rows.

    Raises
    ------
    ShepherdError
        With both numbers, the `reason` for the need and the `remedy`.
    """
    if needed > len(instructions):
        raise ShepherdError(
            f"Cannot deal the {len(instructions):,} training instructions of {instructions.source}: "
            f"{reason} need at least {needed:,}; {remedy}."
        )


def warn_of_one_category(instructions: Instructions, codes: np.ndarray, scheme: str) -> None:
    """Say that a scheme that deals by category, of which `codes` are the rows', has but one to deal."""
    if codes.max() == 0:
        _log.warning(
            "All training instructions of %s are of one category ('%s'), so allocation.name=%s gives every client the "
            "same kind; data.rows takes a file's first rows: where they are sorted, shuffle them or take more.",
            instructions.source,
            instructions.categories()[0],
            scheme,
        )


def category_codes(instructions: Instructions) -> np.ndarray:
    """Return one integer per row: the rank of its category among the sorted category names."""
    return np.unique(instructions.categories(), return_inverse=True)[1].astype(np.int64)


def numbered(rows: Sequence[np.ndarray]) -> Allocated:
    """Name the clients that hold `rows` "0", "1", …"""
    return Allocated([str(i) for i in range(len(rows))], [r.astype(np.int64) for r in rows])


def rows_of_owners(order: np.ndarray, owners: np.ndarray, clients: int) -> list[np.ndarray]:
    """Split row numbers by owner, keeping their order.

    Parameters
    ----------
    order : ndarray of int, shape (rows,)
        Row numbers.
    owners : ndarray of int, shape (rows,)
        The client, in [0, clients), that owns each entry of `order`.
    clients : int
        How many clients there are.
    """
    sizes = np.bincount(owners, minlength=clients)
    return np.split(order[np.argsort(owners, kind="stable")], np.cumsum(sizes)[:-1])


def one_client_per_value(values: Sequence[Hashable]) -> Allocated:
    """Give every distinct value its own client, named after it, in order of first appearance."""
    codes: dict[str, int] = {}
    owners = np.array([codes.setdefault(str(value), len(codes)) for value in values], dtype=np.int64)
    return Allocated(list(codes), rows_of_owners(np.arange(len(owners)), owners, len(codes)))
