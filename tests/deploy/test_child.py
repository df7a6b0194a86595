"""A process that is kept running: started again when it ends, ended when it is to end, and with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from shepherd.deploy.child import Child, wait_until

ENDLESS = [sys.executable, "-c", "import time\nprint('up', flush=True)\nwhile True: time.sleep(60)"]
WAIT_S = 60.0


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_what_crashes_is_started_again_and_heard_without_colours() -> None:
    heard: list[str] = []
    command = [
        sys.executable,
        "-c",
        r"import os; print('\x1b[92mINFO\x1b[0m: ' + os.environ['WHO']); os._exit(3)",
    ]
    with Child(command, {**os.environ, "WHO": "me"}, heard.append, pause_s=0.01) as child:
        assert wait_until(lambda: child.starts >= 3, WAIT_S, 0.01)
    assert heard[:2] == ["INFO: me", "INFO: me"]
    starts = child.starts
    assert child.pid is None
    assert not child._thread.is_alive()
    assert child.starts == starts


def test_what_is_killed_is_started_again() -> None:
    with Child(ENDLESS, os.environ, pause_s=0.01) as child:
        first = child.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert wait_until(lambda: child.pid not in (None, first), WAIT_S, 0.01)
        second = child.pid
    assert second is not None
    assert not is_there(second)


def test_what_does_not_want_to_end_is_ended() -> None:
    stubborn = (
        "import signal as s, time\ns.signal(s.SIGTERM, s.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(600)"
    )
    up = threading.Event()
    child = Child([sys.executable, "-c", stubborn], os.environ, lambda line: up.set())
    with child:
        assert up.wait(WAIT_S)
        pid = child.pid
        child.stop(patience_s=0.1)
    assert pid is not None
    assert not is_there(pid)


def test_a_listener_that_cannot_write_ends_nothing() -> None:
    heard = threading.Event()

    def full(line: str) -> None:
        if line == "9":
            heard.set()
        raise OSError(28, "No space left on device")

    talks = "import time\nfor n in range(10): print(n, flush=True)\ntime.sleep(600)"
    with Child([sys.executable, "-c", talks], os.environ, full) as child:
        assert heard.wait(WAIT_S)
        assert child.starts == 1
        assert child.pid is not None


PARENT = """
import os, sys, threading
from shepherd.deploy.child import Child
code = "from shepherd.deploy.child import die_with_parent; die_with_parent()"
code += "; import time; print('up', flush=True); time.sleep(600)"
up = threading.Event()
with Child([sys.executable, "-c", code], os.environ, lambda line: up.set()) as child:
    up.wait()
    print(child.pid, flush=True)
    threading.Event().wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's sign of a parent's death is Linux's")
def test_it_dies_with_its_parent_even_by_a_sigkill() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_there(pid)
        parent.kill()
        parent.wait()
    assert wait_until(lambda: not is_there(pid), WAIT_S, 0.01)


def test_waiting_ends_when_it_is_so_or_too_late() -> None:
    answers = iter([False, False, True])
    assert wait_until(lambda: next(answers), WAIT_S, 0.001)
    assert not wait_until(lambda: False, 0.01, 0.001)
