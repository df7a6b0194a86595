"""Figures as people read them: 17.9 M parameters, 2 h 3 min, 1.4 GB, 0.26 %."""

from __future__ import annotations

import math
from typing import Any


def is_number(value: Any) -> bool:
    """Say whether `value` is a number a page can show (not a bool, not NaN)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)


def fixed(value: float | None, digits: int = 3) -> str:
    """Return a decimal of fixed places, in powers of ten where that would be long; a dash for nothing."""
    if value is None or not is_number(value):
        return "–"
    return f"{value:.2e}" if math.isfinite(value) and abs(value) >= 1e5 else f"{value:z,.{digits}f}"


def signed(value: float | None, digits: int = 3) -> str:
    """Return a difference as `fixed` does, with its sign: +0.250; what rounds to nothing is never -0.000."""
    text = fixed(value, digits)
    return text if value is None or not is_number(value) or text.startswith("-") else f"+{text}"


def whole(value: float | None) -> str:
    """Return a whole number with thousands separated; a dash for nothing."""
    return f"{value:,.0f}" if value is not None and is_number(value) else "–"


def counted(number: int, noun: str) -> str:
    """Return how many there are of what: 1 call, 2 calls, 1,234 calls.

    Parameters
    ----------
    number : int
        How many.
    noun : str
        Of what, in the singular; its plural takes an s.
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def count(value: float | None) -> str:
    """Return a count in thousands, millions or billions: 17.9 M."""
    return "–" if value is None else _scaled(value, ("", " K", " M", " B", " T"))


def size(value: float | None) -> str:
    """Return bytes in decimal units: 1.4 GB."""
    return "–" if value is None else _scaled(value, (" B", " KB", " MB", " GB", " TB"))


def _scaled(value: float, suffixes: tuple[str, ...]) -> str:
    power = 0
    while abs(value) >= 999.5 and power < len(suffixes) - 1:
        value, power = value / 1000, power + 1
    digits = 0 if power == 0 or abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}{suffixes[power]}"


def duration(seconds: float | None) -> str:
    """Return a time span in its two largest units: 2 h 3 min."""
    if seconds is None:
        return "–"
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def percent(share: float | None) -> str:
    """Return a share as a percentage of two meaningful digits: 0.26 %."""
    if share is None or not is_number(share):
        return "–"
    value = 100 * share
    return f"{value:.1f} %" if abs(value) >= 1 else f"{value:.2g} %"
