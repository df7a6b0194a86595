"""What Flower's SuperLink does with every part of every message, and once a second is enough of.

For each request it asks its database whether the run still runs, which first tidies up old tokens in a write of its
own, and writes down how many bytes went by. With a hundred sites that is most of what a coordinator's processor does.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

_S = 1.0


def ease() -> None:
    """Have this process's SuperLink do these things once a second; what it stores and answers stays the same."""
    from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState

    state: Any = SqlLinkState
    state.get_run_status = _remembered(state.get_run_status)
    state._cleanup_expired_task_tokens = _seldom(state._cleanup_expired_task_tokens)
    state.store_traffic = lambda self, run_id, *, bytes_sent, bytes_recv: (
        None
    )  # the run's own metrics count bytes


#: Layers that only concern tracing, a log of events that is off, and licences of an edition that this is not.
_IDLE = (
    "ControlLicenseMiddleware",
    "ControlEventLogMiddleware",
    "FleetEventLogMiddleware",
    "RuntimeTracingMiddleware",
)


def without_idle_layers(app: Any) -> Any:
    """Take the layers out of Flower's application that do nothing here; every request would pass through each."""
    app.user_middleware = [layer for layer in app.user_middleware if layer.cls.__name__ not in _IDLE]
    return app


def _remembered(asked: Callable[..., Any]) -> Callable[..., Any]:
    """Answer again within a second what was answered, if all of the runs were running: nothing else may be late."""
    known: dict[frozenset[int], tuple[float, Any]] = {}

    @wraps(asked)
    def status(self: Any, run_ids: set[int]) -> Any:
        key = frozenset(run_ids)
        at, found = known.get(key, (-math.inf, None))
        if time.monotonic() - at < _S:
            return found
        found = asked(self, run_ids)
        if found.keys() >= key and all(one.status == "running" for one in found.values()):
            known[key] = (time.monotonic(), found)
        return found

    return status


def _seldom(done: Callable[..., Any]) -> Callable[..., Any]:
    """Do it if it was not done within the last second."""
    lock, last = threading.Lock(), [0.0]

    @wraps(done)
    def sometimes(self: Any) -> Any:
        with lock:
            due = time.monotonic() - last[0] >= _S
            if due:
                last[0] = time.monotonic()
        return done(self) if due else None

    return sometimes
