"""A process that is started, watched and started again, until it is stopped."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


def die_with_parent(by: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel end this process when the one that started it ends, even by SIGKILL (Linux only)."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None, use_errno=True).prctl(_DEATH_SIGNAL, by)
        if os.getppid() != parent:  # it ended before the kernel knew
            sys.exit(1)


class Child:
    """A command that is kept running.

    Parameters
    ----------
    command : sequence of str
        What to run.
    environment : mapping of str to str
        Its environment.
    heard : callable
        Given every line that it writes, without colours.
    pause_s : float
        Seconds between its end and its next start.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        heard: Callable[[str], None] = lambda line: None,
        pause_s: float = 5.0,
    ) -> None:
        self.command = list(command)
        self.environment = dict(environment)
        self.heard = heard
        self.pause_s = pause_s
        self.starts = 0
        self._process: subprocess.Popen[str] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep_running, daemon=True)
        self._started = threading.Event()

    def __enter__(self) -> Child:
        self._thread.start()
        self._started.wait(timeout=30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The process's number while there is one."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def stop(self, patience_s: float = 10.0) -> None:
        """End the process: politely, and after some seconds for good."""
        self._stopping.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(patience_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._thread.is_alive():
            self._thread.join(patience_s)

    def restart(self) -> None:
        """End the process, so that it is started again with nothing of what it remembers."""
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()

    def _start(self) -> subprocess.Popen[str] | None:
        """Start the process in a session of its own, or not at all for want of memory or process numbers.

        Ctrl-C in a terminal would otherwise end it before what it carries has arrived.
        """
        try:
            return subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            with contextlib.suppress(OSError):
                self.heard(f"It cannot be started: {error}")
            return None

    def _keep_running(self) -> None:
        # The kernel's sign of a parent's death is tied to the thread that started the child: this one, which stays.
        while not self._stopping.is_set():
            process = self._start()
            if process is None:
                self._stopping.wait(self.pause_s)
                continue
            self._process = process
            self.starts += 1
            self._started.set()
            assert process.stdout is not None
            if self._stopping.is_set():  # it was told so while the process was being started
                process.terminate()
            for line in process.stdout:
                # A listener that cannot write, on a full disk, must not end what it listens to.
                with contextlib.suppress(OSError):
                    self.heard(_COLOUR.sub("", line.rstrip()))
            process.wait()
            self._stopping.wait(self.pause_s)


def wait_until(ready: Callable[[], bool], seconds: float, poll_s: float = 0.1) -> bool:
    """Return True as soon as `ready` says so, or False after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if ready():
            return True
        time.sleep(poll_s)
    return False
