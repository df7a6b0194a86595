"""How rows are cut into micro-batches: by length, and by the prefix they share.

A plan changes no loss and no gradient, only how many tokens are computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from shepherd.model.batch import Examples


@dataclass(frozen=True)
class MicroBatches:
    """Rows that share a prefix, in micro-batches.

    Attributes
    ----------
    prefix : ndarray of int, [length]
        The tokens all the rows begin with that are to be computed once; empty where nothing is shared.
    parts : list of ndarray of int64
        The places, in the rows that were given, of every micro-batch's rows; longest first.
    """

    prefix: np.ndarray
    parts: list[np.ndarray]


def plan(
    examples: Examples, rows: np.ndarray, budget: int, prefix_cost: int | None = None
) -> list[MicroBatches]:
    """Cut `rows` into micro-batches that compute few tokens.

    Parameters
    ----------
    examples : Examples
        The encoded store.
    rows : ndarray of int64
        What is to be computed, once each.
    budget : int
        Padded tokens in a micro-batch, at most (one example may be longer).
    prefix_cost : int, optional
        What a pass over a prefix costs beyond its own tokens, in tokens; nothing is shared if it is None.
    """
    loaded = [examples.example(int(row)) for row in rows]
    shared, alone = [], list(range(len(rows)))
    if prefix_cost is not None and len(rows) > 1:
        shared = _share(loaded, prefix_cost)
        taken = {index for _, members in shared for index in members}
        alone = [index for index in alone if index not in taken]
    groups = [*shared, (0, alone)] if alone else shared
    return [
        MicroBatches(
            np.asarray(loaded[members[0]][0][:length]),
            list(_cut(np.array(members), _lengths(loaded, members) - length, budget)),
        )
        for length, members in groups
    ]


def _lengths(loaded: Sequence[tuple[np.ndarray, int]], members: Sequence[int]) -> np.ndarray:
    return np.array([len(loaded[index][0]) for index in members])


def _cut(members: np.ndarray, lengths: np.ndarray, budget: int) -> Iterator[np.ndarray]:
    """Cut `members`, longest first, into parts whose padded size stays within `budget` tokens."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, budget // int(lengths[order[start]]))
        yield members[order[start : start + size]]
        start += size


def _share(loaded: Sequence[tuple[np.ndarray, int]], prefix_cost: int) -> list[tuple[int, list[int]]]:
    """Return (length of the prefix, members) of the groups that save the most tokens.

    Sorted by their tokens, rows with a common prefix are neighbours, and a group's common prefix is the
    shortest between neighbours. The groups are nested; from the innermost outwards, a group either shares
    its prefix or leaves that to the groups within, whichever saves more.
    """
    # Only unlabelled tokens are shared, and not the one that predicts the first label: it stays with its row.
    prompts = [tokens[: max(unlabelled - 1, 0)] for tokens, unlabelled in loaded]
    order = sorted(range(len(prompts)), key=lambda index: prompts[index].tobytes())
    common = [_common(prompts[one], prompts[other]) for one, other in pairwise(order)]
    open_groups = [_Group(0, 0)]
    for end, length in enumerate([*common, 0], start=1):
        start, inner = end - 1, None
        while open_groups[-1].length > length:
            inner = open_groups.pop().closed(end, prefix_cost)
            start = inner.start
            if open_groups[-1].length > length:
                open_groups[-1].take(inner)
                inner = None
        if open_groups[-1].length < length:
            open_groups.append(_Group(length, start))
        if inner is not None:
            open_groups[-1].take(inner)
    return [(length, order[first:last]) for length, first, last in open_groups[0].shared]


@dataclass
class _Group:
    """Neighbours from `start` on with a common prefix of `length`, and the best that is known within them."""

    length: int
    start: int
    saved: int = 0
    shared: list[tuple[int, int, int]] = field(default_factory=list)

    def take(self, inner: _Group) -> None:
        """Add the best of a group within."""
        self.saved += inner.saved
        self.shared += inner.shared

    def closed(self, end: int, prefix_cost: int) -> _Group:
        """Decide, when the group ends before `end`."""
        together = (end - self.start - 1) * self.length - prefix_cost
        if together > 0 and together >= self.saved:
            return _Group(self.length, self.start, together, [(self.length, self.start, end)])
        return self


def _common(one: np.ndarray, other: np.ndarray) -> int:
    """Return the length of the longest common prefix."""
    shorter = min(len(one), len(other))
    differing = np.flatnonzero(one[:shorter] != other[:shorter])
    return int(differing[0]) if len(differing) else shorter
