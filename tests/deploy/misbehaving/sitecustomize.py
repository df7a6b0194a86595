"""Makes a site that misbehaves of an honest one: Python imports this first where its folder is on the path.

A test names the way in the environment: the site's own process and its SuperNode are told apart by their commands.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import timedelta
from typing import Any

_AN_HOUR_S = 3600.0


def clock() -> None:
    """Be an hour ahead."""
    import flwr.supercore.date as date

    real_now, real_time = date.now, time.time
    date.now = lambda: real_now() + timedelta(seconds=_AN_HOUR_S)
    time.time = lambda: real_time() + _AN_HOUR_S


def half() -> None:
    """Begin an answer, and never finish it."""
    from flwr.supernode.fleet_http_connection import FleetHttpClient

    client: Any = FleetHttpClient
    client.PushObject = lambda *request: time.sleep(1e6)


def replay() -> None:
    """Send every answer twice, as when the first reply is lost on its way."""
    from flwr.supernode.fleet_http_connection import FleetHttpClient

    client: Any = FleetHttpClient
    once = client.PushMessages

    def twice(self: Any, request: Any) -> Any:
        once(self, request)
        return once(self, request)

    client.PushMessages = twice


def older() -> None:
    """Be of a release that speaks an older version of the protocol."""
    from shepherd.deploy import wire

    wire.VERSION = 0


def huge() -> None:
    """Answer with an array that is said to have 10 GB."""
    from flwr.app import Array, ArrayRecord, RecordDict

    from shepherd.deploy import flower_worker

    worker: Any = flower_worker
    array = Array(dtype="float32", shape=(2_500_000_000,), stype="numpy.ndarray", data=b"")
    worker.to_records = lambda envelope: RecordDict({"arrays": ArrayRecord({"a": array})})


_OF_SUPERNODE, _OF_SITE = (clock, half, replay), (clock, older, huge)
_command = " ".join(sys.orig_argv)
_known = _OF_SUPERNODE if "shepherd.deploy.supernode" in _command else _OF_SITE
for _way in _known if " shepherd" in _command else ():
    if _way.__name__ == os.environ.get("MISBEHAVES"):
        _way()
