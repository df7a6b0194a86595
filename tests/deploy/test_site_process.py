"""What a SuperNode's words mean to a site's owner."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shepherd.deploy import site_process
from shepherd.deploy.site_process import _Listener
from shepherd.deploy.wire import Envelope


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        (
            "ssl: CERTIFICATE_VERIFY_FAILED: certificate has expired",
            "shows a certificate that has ended, that is",
        ),
        ("ERROR : [code: 2004] Node activation failed", "does not let this site in"),
        ("INFO : Sent 2004 bytes to node 120041", ""),
        ("Connection attempt failed, retrying in 5 seconds", "The coordinator at x:1 cannot be reached"),
        ("SuperNode ID: 2004", "Connected to the coordinator."),
    ],
)
def test_what_it_says_is_kept_and_told_once(line: str, meaning: str) -> None:
    kept: list[str] = []
    told: list[str] = []
    listener = _Listener(kept.append, told.append, "x:1")
    for _ in range(2):
        listener.hear(line)
    assert kept == [f"{line}\n"] * 2
    assert len(told) == bool(meaning)
    assert meaning in "".join(told)


def test_a_full_disk_keeps_nobody_from_hearing() -> None:
    def full(line: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    told: list[str] = []
    restarts: list[int] = []
    listener = _Listener(full, told.append, "x:1", lambda: restarts.append(1))
    for line in ("Run ID 7 is not in `RUNNING` status. Ignoring message 5.", "SuperNode ID: 7"):
        with pytest.raises(OSError, match="No space"):
            listener.hear(line)
    assert (restarts, told) == ([1], ["Connected to the coordinator."])


class Node:
    """Stands for the process that carries messages: it is heard, and knows what it had carried when it was ended."""

    def __init__(self, *_: Any) -> None:
        self.heard: Callable[[str], None] = print
        self.said: list[str] = []
        self.ended_after: list[str] | None = None

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: Any) -> None:
        self.ended_after = list(self.said)

    def restart(self) -> None:
        """Begin anew."""
        self.say("SuperNode ID: 7")

    def say(self, line: str) -> None:
        """Say a line."""
        self.said.append(line)
        self.heard(line)


def stopped_at_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: Callable[[Node, Callable[[], None]], object]
) -> tuple[Node, list[str]]:
    """Play a site that is told to stop while it answers; `then` is what becomes of its answer."""
    pytest.importorskip("flwr")
    node, told = Node(), list[str]()

    class Worker:
        """Answers one question and is told to stop."""

        def __init__(self, _: str, __: bytes, answer: Any, ___: Any, dropped: Callable[[], None]) -> None:
            self.answer, self.dropped = answer, dropped

        def work(self, _: threading.Event) -> None:
            self.answer(Envelope("train", "run"))
            then(node, self.dropped)

    monkeypatch.setattr(site_process, "Child", lambda *_: node)
    monkeypatch.setattr("shepherd.deploy.flower_worker.FlowerWorker", Worker)
    monkeypatch.setattr(site_process, "be_quiet", lambda home: None)
    bundle: Any = SimpleNamespace(path=tmp_path, settings=SimpleNamespace(address="x:1"))
    team = SimpleNamespace(broken=False)
    site: Any = SimpleNamespace(folder=tmp_path, answer=lambda asked: asked.answer({}), team=team)
    site_process._answer(bundle, site, threading.Event(), told.append, lambda *_: None)
    return node, told


def test_a_site_that_is_told_to_stop_lets_its_last_answer_be_carried_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def later(node: Node, _: Callable[[], None]) -> None:
        threading.Timer(0.3, node.say, ["INFO : Sent successfully"]).start()

    node, told = stopped_at_an_answer(tmp_path, monkeypatch, later)
    assert node.ended_after == ["INFO : Sent successfully"]
    assert "is on its way to the coordinator" in told[0]


@pytest.mark.parametrize(
    "line",
    [
        "Sent successfully",
        "Run ID 7 is not in `RUNNING` status. Ignoring reply message 5.",
        "An answer was lost on its way (ReadTimeout).",
        "SuperNode ID: 7",
    ],
)
def test_nothing_is_waited_for_that_is_carried_or_lost(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not any(
        "on its way to" in one
        for one in stopped_at_an_answer(tmp_path, monkeypatch, lambda node, _: node.say(line))[1]
    )


def test_an_answer_that_was_dropped_or_never_comes_through_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _, told = stopped_at_an_answer(tmp_path, monkeypatch, lambda _, dropped: dropped())
    assert told == ["Connected to the coordinator."]
    monkeypatch.setattr(site_process, "_CARRIED_S", 0.01)
    stopped_at_an_answer(tmp_path, monkeypatch, lambda *_: None)
    assert "did not reach the coordinator, which asks again" in caplog.text
