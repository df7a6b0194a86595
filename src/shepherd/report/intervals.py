"""Intervals in words, the same in every table."""

from __future__ import annotations

from collections.abc import Callable

from shepherd.report.units import fixed, is_number
from shepherd.statistics.bootstrap import Interval

#: What stands beside a figure that says nothing about who is better.
NOISE = "≈"


def with_ends(interval: Interval, write: Callable[[float], str] = fixed, to: str = " to ") -> str:
    """Return a figure with the ends of its interval, if it has any: ``0.341 (0.226 to 0.459)``.

    Parameters
    ----------
    interval : Interval
        The figure; its ends need not lie evenly about it.
    write : callable
        How a number is written.
    to : str
        What stands between the ends.
    """
    if not is_number(interval.low):
        return write(interval.estimate)
    return f"{write(interval.estimate)} ({write(interval.low)}{to}{write(interval.high)})"
