"""When clients are there, as it was recorded: a file of intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from pydantic import Field

from shepherd.errors import ShepherdError
from shepherd.simulation.availability import Availability
from shepherd.simulation.traces import Assignment, assigned, check_named, numbered_rows
from shepherd.stamps import Stamp, digest, stamped

_COLUMNS = ("on_s", "off_s")
_Intervals = tuple[np.ndarray, np.ndarray]


class Intervals(Availability):
    """A CSV file or JSON lines with the columns ``client``, ``on_s``, ``off_s``: who was there from when until when.

    Who comes again at the moment it leaves, also as the trace begins again, was there all the time.

    Attributes
    ----------
    path : str
        The file. Seconds count from the beginning of the virtual clock.
    assign : str
        Whether a client has the intervals of one of the file's, ``drawn`` by its address, or of its own name
        (``by_name``).
    period_s : float, optional
        The trace begins again after so long; without it nobody is there after its end.
    """

    name: str = "intervals"
    path: str = Field(examples=["there.csv"])
    assign: Assignment = "drawn"
    period_s: float | None = Field(None, gt=0)

    def until(
        self, clients: Sequence[int] | np.ndarray, names: Sequence[str], seed: int, now: float
    ) -> np.ndarray:
        """Return the end of the interval that `now` lies in; see `Availability.until`."""
        rows, intervals = _read(stamped(self.path, "system.availability.path"))
        passed = 0.0 if self.period_s is None else now - now % self.period_s
        own = assigned(self.assign, rows, clients, names, (seed, "availability"))
        return np.array(
            [
                now if (end := _end(intervals[i], now - passed, self.period_s)) is None else passed + end
                for i in own
            ]
        )

    def check(self, names: Sequence[str]) -> str:
        """Read the file, refuse one that leaves a client out or outlasts its period, and return its fingerprint."""
        stamp = stamped(self.path, "system.availability.path")
        rows, intervals = _read(stamp)
        check_named(self.path, self.assign, rows, names)
        last = max(float(off[-1]) for _, off in intervals)
        if self.period_s is not None and last > self.period_s:
            raise ShepherdError(
                f"{self.path} ends at {last:g} s, after system.availability.period_s={self.period_s:g}; give a period "
                "that holds all of it."
            )
        return digest(stamp)


def _end(intervals: _Intervals, moment: float, period_s: float | None) -> float | None:
    """Return the end of the interval that `moment` lies in; None if it lies in none."""
    on, off = intervals
    place = int(np.searchsorted(on, moment, side="right")) - 1
    if place < 0 or moment >= off[place]:
        return None
    if period_s is None or off[place] != period_s or on[0] > 0:
        return float(off[place])
    # The trace begins again with the client there: a night is written as its two halves.
    return math.inf if off[0] == period_s else period_s + float(off[0])


@lru_cache(maxsize=4)
def _read(stamp: Stamp) -> tuple[dict[str, int], list[_Intervals]]:
    """Return the place of each client of the file, and its intervals in their order."""
    found: dict[str, list[tuple[float, float, str]]] = {}
    for place, client, numbers in numbered_rows(stamp[0], _COLUMNS, "required"):
        on, off = numbers["on_s"], numbers["off_s"]
        if off <= on:
            raise ShepherdError(
                f"{place} ends at {off:g} s and begins at {on:g} s; an interval ends after it begins."
            )
        found.setdefault(str(client), []).append((on, off, place))
    for client, own in found.items():
        own.sort()
        for (_, end, _), (begin, _, place) in pairwise(own):
            if begin < end:
                raise ShepherdError(f"{place} overlaps another interval of client '{client}'; join them.")
    return {client: place for place, client in enumerate(found)}, [_joined(own) for own in found.values()]


def _joined(own: list[tuple[float, float, str]]) -> _Intervals:
    """Return a client's intervals, those that touch as one."""
    on, off = np.array([(begin, end) for begin, end, _ in own]).T
    apart = on[1:] > off[:-1]
    return on[np.append(True, apart)], off[np.append(apart, True)]
