"""The coordinator's log: one JSON object a line, whatever happens."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from shepherd.deploy.logs import run_log
from shepherd.errors import ShepherdError
from shepherd.model.adapter import Adapter
from shepherd.state import RunState

LINE = {"selected": 3, "examples": 4, "steps": 1, "bytes_up": 10, "bytes_down": 7, "train_loss": 2.0}


def events(path: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert all(event.pop("time") > 1e9 for event in found)
    return found


def test_a_round_is_logged(tmp_path: Path) -> None:
    path = tmp_path / "run" / "log.jsonl"
    with run_log(path) as log:
        log.started(RunState(0, Adapter({})), 3)
        log.cohort(1, ["anna", "berta"])
        log.client({**LINE, "round": 1, "client": "anna", "machine": {"seconds": 2.5}})
        log.lost(1, "berta", "its connection\nwas lost…")
        log.committed(RunState(1, Adapter({})), [{"scope": "round"}, {"scope": "global", "loss": 1.5}])
        log.committed(RunState(2, Adapter({})), [{"scope": "round"}])
    figures = {key: LINE[key] for key in ("selected", "examples", "steps", "bytes_up", "bytes_down")}
    assert events(path) == [
        {"event": "started", "round": 0, "rounds": 3},
        {"event": "cohort", "round": 1, "sites": ["anna", "berta"]},
        {"event": "trained", "round": 1, "site": "anna", "seconds": 2.5, **figures},
        {"event": "lost", "round": 1, "site": "berta", "reason": "its connection\nwas lost…"},
        {"event": "committed", "round": 1, "loss": 1.5},
        {"event": "committed", "round": 2, "loss": None},
        {"event": "finished"},
    ]


def test_shepherds_own_warnings_are_in_it_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with run_log(path):
        logging.getLogger("shepherd.deploy.backend").warning("Site '%s' is late.", "anna")
        logging.getLogger("shepherd.deploy.backend").info("not this")
        logging.getLogger("httpx").warning("nor this")
    logging.getLogger("shepherd").warning("nor what comes after it")
    assert events(path)[:-1] == [{"event": "warning", "message": "Site 'anna' is late."}]


def test_how_it_ended_is_its_last_line_and_older_lines_stay(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for error in (ShepherdError("with a patient's name"), KeyboardInterrupt()):
        with pytest.raises(type(error)), run_log(path):
            raise error
    assert events(path) == [
        {"event": "ended", "reason": "ShepherdError"},
        {"event": "ended", "reason": "KeyboardInterrupt"},
    ]


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ShepherdError, match="Cannot write"), run_log(tmp_path / "file" / "log.jsonl"):
        pass
