"""A run that is killed, or stopped by hand, repeats no call that it was answered."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fake_server import FakeServer, hanging, question
from shepherd.endpoint import EndpointSettings, Message, Reply, ReplyStore, Request, ask

COUNT, AT_ONCE = 60, 4
REQUESTS = [Request((Message("user", f"question {n}"),), "judge", 0.0, 64) for n in range(COUNT)]
SCRIPT = """
import sys
from pathlib import Path
from shepherd.endpoint import EndpointSettings, Message, ReplyStore, Request, ask
url, path, count, at_once = sys.argv[1:]
requests = [Request((Message("user", f"question {n}"),), "judge", 0.0, 64) for n in range(int(count))]
ask(EndpointSettings(model="judge", base_url=url, concurrency=int(at_once)), requests, ReplyStore(Path(path)))
"""


def settings(server: FakeServer) -> EndpointSettings:
    return EndpointSettings(model="judge", base_url=server.url, concurrency=AT_ONCE)


def kill_half_way(server: FakeServer, path: Path) -> None:
    """Ask in another process until a third is on disk, then kill it."""
    run = subprocess.Popen([sys.executable, "-c", SCRIPT, server.url, str(path), str(COUNT), str(AT_ONCE)])
    while not path.exists() or path.read_bytes().count(b"\n") < COUNT // 3:
        assert run.poll() is None
        time.sleep(0.002)
    run.kill()
    assert run.wait() == -signal.SIGKILL


def check_resumed(server: FakeServer, path: Path) -> None:
    kept = [request for request in REQUESTS if ReplyStore(path).get(request.key) is not None]
    assert 0 < len(kept) < COUNT
    replies = ask(settings(server), REQUESTS, ReplyStore(path))
    assert len(replies) == COUNT
    asked = server.asked()
    assert [asked[request.messages[-1].content] for request in kept] == [1] * len(kept)
    # Beyond that only what was under way at the end, and so never arrived, is asked again.
    assert COUNT <= len(server.calls) <= COUNT + AT_ONCE
    assert set(ReplyStore(path).replies) == {request.key for request in REQUESTS}


def test_a_killed_run_repeats_no_paid_call(judge_server: FakeServer, tmp_path: Path) -> None:
    judge_server.delay_s = 0.02
    kill_half_way(judge_server, tmp_path / "replies.jsonl")
    check_resumed(judge_server, tmp_path / "replies.jsonl")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Control-C interrupts, also where the tests were started in the background of a shell that has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_stops_promptly_and_keeps_what_was_answered(
    judge_server: FakeServer, tmp_path: Path
) -> None:
    quick = COUNT // 3
    path, told = tmp_path / "replies.jsonl", []

    def answer(body: dict) -> object:
        return "8 7" if int(question(body).split()[1]) < quick else hanging()

    def tell(reply: Reply) -> None:
        told.append(reply)
        if len(told) == quick:
            # Control-C, while the others are waited for.
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()

    judge_server.answer = answer
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        ask(settings(judge_server), REQUESTS, ReplyStore(path), tell)
    assert time.monotonic() - began < 30
    assert len(ReplyStore(path).replies) == quick
    judge_server.answer = lambda body: "8 7"
    check_resumed(judge_server, path)
