"""Intervals in words, the same in every table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shepherd.statistics.bootstrap import DRAWS, LEAST_P_VALUE, Interval
from shepherd.units import fixed, is_number, signed

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


def difference_text(interval: Interval) -> str:
    """Return a difference with its sign, with `NOISE` where it says nothing, and the ends of its interval below.

    A terminal breaks the line between them; every other form has a space there: ``+0.050 ≈ (-0.050 to +0.150)``.
    """
    if not is_number(interval.estimate):
        return signed(interval.estimate)
    figure = signed(interval.estimate) + (f" {NOISE}" if interval.is_noise else "")
    return (
        f"{figure}\n({signed(interval.low)} to {signed(interval.high)})"
        if is_number(interval.low)
        else figure
    )


def noise_note(family: Sequence[Interval]) -> str:
    """Say what `NOISE` means in a table of these comparisons, whose p-values were corrected together.

    Parameters
    ----------
    family : sequence of Interval
        Every comparison that was looked at, shown or not.
    """
    tested = sum(is_number(interval.p_value) for interval in family)
    if tested < 2:
        return f"{NOISE}: inside the noise."
    note = (
        f"{NOISE}: inside the noise, corrected for {tested} comparisons by Holm's step-down; "
        "the intervals are each comparison's own."
    )
    # The smallest p-value there can be, times their number, is not below 0.05.
    hopeless = tested * LEAST_P_VALUE >= 1 - family[0].level
    return note + (f" They are more than {DRAWS:,} draws can tell apart." if hopeless else "")
