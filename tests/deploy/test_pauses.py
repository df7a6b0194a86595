"""How long a site's SuperNode waits between two looks for a message."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("cryptography")

from shepherd.deploy import supernode
from shepherd.deploy.site_process import _MEANINGS
from shepherd.deploy.supernode import Pauses

FLOWERS_S = 3.0


class Clock:
    """Goes on only while somebody sleeps, and remembers how long."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(supernode, "time", SimpleNamespace(monotonic=clock.monotonic, sleep=clock.sleep))
    return clock


@pytest.mark.parametrize(
    ("waited", "pause"),
    [(0.0, 0.25), (4.0, 0.25), (20.0, 1.0), (60.0, 3.0), (100.0, 3.0), (1e6, 3.0)],
)
def test_a_pause_is_a_twentieth_of_what_was_waited_within_bounds(waited: float, pause: float) -> None:
    assert Pauses().between(waited) == pytest.approx(pause)


def test_looks_become_rarer_until_they_are_as_rare_as_flowers(clock: Clock) -> None:
    pauses = Pauses()
    for _ in range(100):
        pauses.sleep(FLOWERS_S)
    assert clock.slept == sorted(clock.slept)
    assert (clock.slept[0], clock.slept[-1]) == (Pauses.SHORTEST_S, FLOWERS_S)


def test_nobody_waits_longer_than_flower_would_have(clock: Clock) -> None:
    pauses = Pauses()
    clock.now += 1000
    pauses.sleep(0.75)
    assert clock.slept == [0.75]


def test_waits_for_the_sites_own_process_are_short_and_count_as_work(clock: Clock) -> None:
    pauses = Pauses()
    clock.now += 1000
    pauses.sleep(0.5)
    pauses.sleep(0.01)
    pauses.sleep(FLOWERS_S)
    assert clock.slept == [0.1, 0.01, Pauses.SHORTEST_S]


def test_a_refused_signature_is_said_in_words_that_the_site_knows(capfd: pytest.CaptureFixture[str]) -> None:
    httpx = pytest.importorskip("httpx")

    def refuses(client: object, request: object) -> None:
        httpx.Response(401, request=httpx.Request("POST", "https://localhost/x")).raise_for_status()

    with pytest.raises(httpx.HTTPStatusError):
        supernode.saying_refusals(refuses)(None, None)
    assert any(sign in capfd.readouterr().out for sign, meaning in _MEANINGS if "a clock" in meaning)


@pytest.mark.parametrize("ends", ["None", "1 / 0"])
def test_a_supernode_that_gave_its_connection_up_ends_whatever_its_threads_do(ends: str) -> None:
    program = (
        "import threading; from shepherd.deploy.supernode import end_after; "
        f"threading.Thread(target=threading.Event().wait).start(); end_after(lambda: {ends})"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=120)
    assert found.returncode == 1
    assert (b"ZeroDivisionError" in found.stderr) == (ends != "None")


def test_a_supernode_that_can_give_no_signs_of_life_any_more_ends() -> None:
    pytest.importorskip("flwr")
    program = (
        "import threading, httpx\n"
        "from flwr.supercore.heartbeat import HeartbeatSender\n"
        "from shepherd.deploy.supernode import end_with_any_thread\n"
        "def beat():\n"
        "    httpx.Response(500, request=httpx.Request('POST', 'https://x')).raise_for_status()\n"
        "end_with_any_thread()\n"
        "HeartbeatSender(beat).start()\n"
        "print(threading.Event().wait(60))\n"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=120)
    assert (found.returncode, found.stdout) == (1, b"")
    assert b"500 Internal Server Error" in found.stderr


@pytest.mark.parametrize("part", ["send", "push_object"])
def test_an_answer_that_cannot_be_sent_ends_the_supernode(
    part: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = pytest.importorskip("flwr.supercore.run")
    ended: list[int] = []
    monkeypatch.setattr(supernode.os, "_exit", ended.append)
    failing: list[type[Exception]] = [OSError]

    def fails(*what: object) -> None:
        raise failing[0]

    def push_messages(send: Any, push_object: Any) -> None:
        {"send": send, "push_object": push_object}[part]("an answer")

    pushed = supernode.ending_when_lost(push_messages)
    pushed(**{"send": str, "push_object": str} | {part: fails})
    assert ended == [1]
    assert "An answer was lost on its way (OSError)." in capfd.readouterr().out
    failing[0] = run.RunNotRunningException  # nobody waits for it
    with pytest.raises(run.RunNotRunningException):
        pushed(**{"send": str, "push_object": str} | {part: fails})
    assert ended == [1]
