"""How rows are cut into micro-batches: by length, and by the prefix they share.

A plan changes no loss and no gradient, only how many tokens are computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch

from shepherd.model.batch import Example

#: Padded tokens in a micro-batch, by kind of device: on a CPU small activations stay in cache and with the allocator.
_BUDGETS = {"cpu": 1024}


def token_budget(device: torch.device) -> int:
    """Return how many padded tokens a micro-batch has on a device, at most, unless somebody knows better."""
    return _BUDGETS.get(device.type, 16384)


@dataclass(frozen=True)
class MicroBatches:
    """Rows that share a prefix, in micro-batches.

    Attributes
    ----------
    prefix : ndarray of int, [length]
        The tokens all the rows begin with that are to be computed once; empty where nothing is shared.
    parts : list of list of ndarray of int64
        The micro-batches, longest first: of every client, the places of its rows among those that were given.
    """

    prefix: np.ndarray
    parts: list[list[np.ndarray]]


def plan(
    clients: Sequence[Sequence[Example]], budget: int, prefix_cost: int | None = None
) -> list[MicroBatches]:
    """Cut the rows of one or several clients into micro-batches that compute few tokens.

    Parameters
    ----------
    clients : sequence of sequence of Example
        The rows of every client that are to be computed, once each.
    budget : int
        Padded tokens in a micro-batch, at most (one row of every client may be more).
    prefix_cost : int, optional
        What a pass over a prefix costs beyond its own tokens, in tokens; nothing is shared if it is None.
    """
    if len(clients) > 1:
        return [_together(clients, budget, prefix_cost)]
    (loaded,) = clients
    shared, alone = [], list(range(len(loaded)))
    if prefix_cost is not None and len(loaded) > 1:
        shared = _share(_prompts(loaded), prefix_cost)
        taken = {index for _, members in shared for index in members}
        alone = [index for index in alone if index not in taken]
    groups = [*shared, (0, alone)] if alone else shared
    return [
        MicroBatches(
            np.asarray(loaded[members[0]][0][:length]),
            [[part] for part in _cut(np.array(members), _lengths(loaded)[members] - length, budget)],
        )
        for length, members in groups
    ]


def _together(clients: Sequence[Sequence[Example]], budget: int, prefix_cost: int | None) -> MicroBatches:
    """Put as many rows of each client into a micro-batch, the clients' longest together.

    Each client computes a prefix under its own adapter, so what is shared is what all rows begin with.
    """
    loaded = [example for own in clients for example in own]
    prefix = loaded[0][0][:0]
    if prefix_cost is not None:
        first, *others = _prompts(loaded)
        length = min((_common(first, other) for other in others), default=0)
        if (len(loaded) - len(clients)) * length > prefix_cost:
            prefix = first[:length]
    queues = [np.argsort(-_lengths(own), kind="stable") for own in clients]
    parts, start, most = [], 0, max(map(len, queues))
    while start < most:
        longest = [
            own[queue[start]] for own, queue in zip(clients, queues, strict=True) if start < len(queue)
        ]
        width = max(len(tokens) for tokens, _ in longest) - len(prefix)
        end = start + max(1, budget // (width * len(clients)))
        parts.append([queue[start:end] for queue in queues])
        start = end
    return MicroBatches(prefix, parts)


def _prompts(loaded: Sequence[Example]) -> list[np.ndarray]:
    """Return what may be shared: unlabelled tokens, but not the one that predicts the first label."""
    return [tokens[: max(unlabelled - 1, 0)] for tokens, unlabelled in loaded]


def _lengths(loaded: Sequence[Example]) -> np.ndarray:
    return np.array([len(tokens) for tokens, _ in loaded])


def _cut(members: np.ndarray, lengths: np.ndarray, budget: int) -> Iterator[np.ndarray]:
    """Cut `members`, longest first, into parts whose padded size stays within `budget` tokens."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, budget // int(lengths[order[start]]))
        yield members[order[start : start + size]]
        start += size


def _share(prompts: Sequence[np.ndarray], prefix_cost: int) -> list[tuple[int, list[int]]]:
    """Return (length of the prefix, members) of the groups that save the most tokens.

    Sorted by their tokens, rows with a common prefix are neighbours, and a group's common prefix is the
    shortest between neighbours. The groups are nested; from the innermost outwards, a group either shares
    its prefix or leaves that to the groups within, whichever saves more.
    """
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
