from __future__ import annotations

import math

import pytest

from shepherd.units import count, counted, duration, fixed, percent, signed, size, whole


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (count(6_815_744), "6.82 M"),
        (count(17_900_000), "17.9 M"),
        (count(999_999), "1.00 M"),
        (count(12), "12"),
        (count(None), "–"),
        (counted(1, "call"), "1 call"),
        (counted(0, "call"), "0 calls"),
        (counted(1234, "call"), "1,234 calls"),
        (fixed(-0.004, 2), "0.00"),
        (signed(0.25), "+0.250"),
        (signed(-0.004, 2), "+0.00"),
        (signed(-1.5, 1), "-1.5"),
        (signed(math.nan), "–"),
        (size(1_400_000_000), "1.40 GB"),
        (duration(0.25), "0.2 s"),
        (duration(42), "42 s"),
        (duration(59.9), "1 min 0 s"),
        (duration(7_380), "2 h 3 min"),
        (percent(0.0026), "0.26 %"),
        (percent(-0.123), "-12.3 %"),
        (percent(0.0), "0 %"),
        (fixed(1.23456), "1.235"),
        (fixed(1e9), "1.00e+09"),
        (fixed(float("inf")), "inf"),
        (fixed(float("nan")), "–"),
        (whole(1234.0), "1,234"),
    ],
)
def test_figures_as_people_read_them(said: str, expected: str) -> None:
    assert said == expected
