"""The coordinator's log: a JSON object a line, of what happened when, to which site; never a word of anybody's data."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shepherd.deploy.rotated_log import RotatedLog
from shepherd.files import explained
from shepherd.metrics import Line
from shepherd.observer import Observer
from shepherd.state import RunState


class RunLog(Observer):
    """Appends events.

    Parameters
    ----------
    file : RotatedLog
        Where to.
    """

    def __init__(self, file: RotatedLog) -> None:
        self.file = file

    def event(self, what: str, **facts: Any) -> None:
        """Append one."""
        line = {"time": round(time.time(), 3), "event": what, **facts}
        self.file.write(json.dumps(line, ensure_ascii=False))

    def started(self, state: RunState, rounds: int) -> None:
        """Log where the run begins."""
        self.event("started", round=state.round, rounds=rounds)

    def cohort(self, round: int, clients: Sequence[str]) -> None:
        """Log who trains."""
        self.event("cohort", round=round, sites=list(clients))

    def client(self, line: Line) -> None:
        """Log that one has trained."""
        figures = {key: line[key] for key in ("selected", "examples", "steps", "bytes_up", "bytes_down")}
        self.event(
            "trained", round=line["round"], site=line["client"], seconds=line["machine"]["seconds"], **figures
        )

    def lost(self, round: int, site: str, reason: str) -> None:
        """Log that a site is not part of a round, and why."""
        self.event("lost", round=round, site=site, reason=reason)

    def committed(self, state: RunState, lines: Sequence[Line]) -> None:
        """Log that a round is on disk."""
        losses = [line["loss"] for line in lines if line["scope"] == "global"]
        self.event("committed", round=state.round, loss=losses[0] if losses else None)


class _Warnings(logging.Handler):
    """Puts Shepherd's own warnings into the log."""

    def __init__(self, log: RunLog) -> None:
        super().__init__(logging.WARNING)
        self.log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Append one."""
        if record.name.startswith("shepherd"):
            self.log.event(record.levelname.lower(), message=record.getMessage())


@contextmanager
def run_log(path: Path) -> Iterator[RunLog]:
    """Append to the log at `path` until the run ends, however it ends."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with RotatedLog(path) as file:
        log = RunLog(file)
        handler = _Warnings(log)
        logging.getLogger().addHandler(handler)
        try:
            yield log
        except BaseException as error:
            log.event("ended", reason=type(error).__name__)
            raise
        else:
            log.event("finished")
        finally:
            logging.getLogger().removeHandler(handler)
