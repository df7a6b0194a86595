"""When to try again: waits that double, and never before the server wants to be asked."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from shepherd.randomness import generator

#: No wait between two attempts is longer, unless the server asks for one.
LONGEST_S = 60.0
#: A server that asks for a longer wait than this has its request given up.
LONGEST_ASKED_S = 300.0


class Patience:
    """The waits of requests to one server: each one's own, and what the server asked of any of them.

    Parameters
    ----------
    first_s : float
        Seconds before the second attempt of a request.
    """

    def __init__(self, first_s: float) -> None:
        self._first_s = first_s
        self._welcome = 0.0

    async def before(self, key: str, attempt: int) -> None:
        """Wait before the attempt (from 0) of a request."""
        if attempt:
            await asyncio.sleep(backoff(self._first_s, key, attempt - 1))
        while (rest := self._welcome - time.monotonic()) > 0:
            await asyncio.sleep(rest)

    def wait_s(self, key: str, attempt: int) -> float:
        """Return the seconds until the attempt (from 1) of a request, as things stand."""
        return max(backoff(self._first_s, key, attempt - 1), self._welcome - time.monotonic())

    def heed(self, wait_s: float | None) -> None:
        """Have every request wait until the server wants to be asked."""
        if wait_s is not None:
            self._welcome = max(self._welcome, time.monotonic() + wait_s)


def backoff(first_s: float, key: str, attempt: int) -> float:
    """Return the seconds to wait behind an attempt (from 0): doubling, and up to a half more.

    What is added is addressed by the request, so that those which failed together do not come back together.
    """
    wait = min(first_s * 2**attempt, LONGEST_S)
    return wait * (1 + generator(0, "endpoint backoff", key, attempt).random() / 2)


def asked_to_wait(headers: Mapping[str, str]) -> float | None:
    """Return the seconds a server asks to wait (``retry-after-ms``, or Retry-After in seconds or as a date)."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    said = headers.get("retry-after")
    return _number(said) if _number(said) is not None else _until(said)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _until(text: str | None) -> float | None:
    try:
        moment = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)
