"""How long to wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from shepherd.endpoint.patience import LONGEST_S, asked_to_wait, backoff


def test_waits_double_and_at_most_a_half_is_added() -> None:
    for attempt, base in enumerate([2, 4, 8, 16, 32, 60, 60]):
        waits = [backoff(2, f"key {n}", attempt) for n in range(200)]
        assert base <= min(waits) < base * 1.05
        assert base * 1.45 < max(waits) < base * 1.5
    assert backoff(2, "key", 40) < LONGEST_S * 1.5


def test_the_same_request_always_waits_the_same() -> None:
    assert backoff(2, "key", 3) == backoff(2, "key", 3)
    assert backoff(0, "key", 3) == 0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
    ],
)
def test_what_a_server_asks_for(headers, seconds) -> None:
    assert asked_to_wait(headers) == seconds


def test_a_date_to_come() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 97 < (asked_to_wait({"retry-after": date}) or 0) <= 100
