"""The page without a browser: its functions, its server, and what it asks of other machines (nothing)."""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from shepherd.chat.models import Speaker
from shepherd.chat.page import ChatPage, Switch, load_gradio
from shepherd.chat.server import address, bind, is_loopback, server
from shepherd.errors import ShepherdError
from shepherd.evaluation.decoding import DecodingSettings

pytest.importorskip("gradio")
CHOSEN = (0.0, 1, 0, 6, 0)  # temperature, top-p, top-k, longest answer, seed


@pytest.fixture(scope="module")
def page(speakers: list[Speaker]) -> ChatPage:
    return ChatPage(speakers, DecodingSettings(max_new_tokens=6))


def asked(page: ChatPage, instruction: str, *decoding: Any, context: str = "", log: Any = ()) -> list[dict]:
    return list(page.answer(instruction, context, Switch(), list(log), *(decoding or CHOSEN)))


def text(html: str) -> str:
    return re.sub(r"<[^>]*>", "", html)


def test_every_column_fills_and_the_exchange_is_kept(page: ChatPage) -> None:
    shown = asked(page, "Tell me a story.", context="Of <b>sheep</b>.")
    assert text(shown[0][page.state]) == "Answering …"
    for column in page.columns:
        of_it = [step[column.answer] for step in shown if column.answer in step]
        assert 'class="answer speaking"' in of_it[1]
        assert 'class="answer"' in of_it[-1]
        assert "Prompt: " in of_it[-1]
        last = [step[column.sent] for step in shown if column.sent in step][-1]
        assert "Tell me a story.\nOf &lt;b&gt;sheep&lt;/b&gt;.\n" in last
    end = shown[-1]
    assert text(end[page.state]) == "All models have answered."
    (line,) = end[page.lines].splitlines()
    kept = json.loads(line)
    assert [part["model"] for part in kept["answers"]] == ["base", "one", "two"]
    assert kept["context"] == "Of <b>sheep</b>."
    assert kept["decoding"]["max_new_tokens"] == 6
    assert "<b>" not in end[page.log]
    assert len(asked(page, "Again.", log=end[page.exchanges])[-1][page.exchanges]) == 2


@pytest.mark.parametrize(
    ("instruction", "decoding", "said"),
    [
        ("", CHOSEN, "Write a prompt first."),
        (" \n", CHOSEN, "Write a prompt first."),
        ("Hello", (0.0, 1, 0, 0, 0), "max_new_tokens"),
        ("Hello", (0.0, 1, 0, None, 0), "max_new_tokens"),
        ("Hello", (0.5, 1, -2, 6, 0), "top_k"),
        ("Hello", (0.5, 1, 0, 6, -1), "seed"),
    ],
)
def test_what_cannot_be_asked_is_a_hint(
    page: ChatPage, instruction: str, decoding: tuple[Any, ...], said: str
) -> None:
    (shown,) = asked(page, instruction, *decoding)
    assert list(shown) == [page.state]
    assert said in shown[page.state]
    assert 'class="hint"' in shown[page.state]


def test_a_model_that_cannot_answer_says_so_in_its_column(page: ChatPage) -> None:
    shown = asked(page, "Hello", 0.0, 1, 0, 1000, 0)
    assert text(shown[-1][page.state]) == "Done; not every model could answer."
    last = [step[page.columns[1].answer] for step in shown if page.columns[1].answer in step][-1]
    assert "one sees 256 tokens" in last
    assert 'class="trouble"' in last


def test_stop_is_the_session_s_own(page: ChatPage, monkeypatch: pytest.MonkeyPatch) -> None:
    from copy import deepcopy

    monkeypatch.setattr("shepherd.chat.speech._BREATH_S", 0.0)
    switch = Switch()
    other = deepcopy(switch)
    steps = page.answer("Tell me a story.", "", switch, [], *CHOSEN)
    for _ in range(5):
        next(steps)
    switch.event.set()
    end = list(steps)[-1]
    assert text(end[page.state]) == "Stopped."
    assert not other.event.is_set()
    assert any(part["end"] == "stopped" for part in json.loads(end[page.lines])["answers"])


@pytest.fixture(scope="module")
def served(page: ChatPage) -> Iterator[str]:
    """The address of the page, served."""
    with bind("127.0.0.1", None) as listener:
        running = server(page, "127.0.0.1")
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not running.started:
            time.sleep(0.01)
        yield address(listener)
        running.should_exit = True
        thread.join(timeout=10)


def fetch(request: str | urllib.request.Request) -> tuple[Any, str]:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as reply:
        return reply.headers, reply.read().decode()


def test_the_served_page_is_kept_from_other_machines(served: str) -> None:
    headers, body = fetch(served)
    assert "default-src 'self'" in headers["content-security-policy"]
    loads = re.findall(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="(https?:)?//', body)
    assert loads == []
    config = json.loads(fetch(f"{served}config")[1])
    assert config["analytics_enabled"] is False
    assert not any("http" in str(sheet) for sheet in config.get("stylesheets") or [])


def test_a_name_that_was_made_to_point_here_is_not_answered(served: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="400"):
        fetch(urllib.request.Request(served, headers={"Host": "evil.example"}))


def test_an_answer_comes_through_the_server_in_pieces(served: str, page: ChatPage) -> None:
    config = json.loads(fetch(f"{served}config")[1])
    number = next(d["id"] for d in config["dependencies"] if len(d["inputs"]) > 5)
    data = ["Tell me a story.", "", None, None, *CHOSEN]
    body = json.dumps({"data": data, "fn_index": number, "session_hash": "test"}).encode()
    headers = {"Content-Type": "application/json"}
    fetch(urllib.request.Request(f"{served}gradio_api/queue/join", body, headers))
    stream = fetch(f"{served}gradio_api/queue/data?session_hash=test")[1]
    told = [
        json.loads(line.removeprefix("data: ")) for line in stream.splitlines() if line.startswith("data: ")
    ]
    kinds = [message["msg"] for message in told]
    assert kinds.count("process_generating") >= 3
    done = next(message for message in told if message["msg"] == "process_completed")
    assert done["success"]
    assert "All models have answered." in stream


def test_a_port_that_is_taken_and_the_next_free_one() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(ShepherdError, match=f"Port {taken} at 127.0.0.1 is taken; give another --port"):
            bind("127.0.0.1", taken)
    with bind("127.0.0.1", None) as first, bind("127.0.0.1", None) as second:
        assert first.getsockname()[1] != second.getsockname()[1]
        assert address(first) == f"http://127.0.0.1:{first.getsockname()[1]}/"


def test_hosts() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "192.168.1.5", "example.org", "::")] == [False] * 4
    with pytest.raises(ShepherdError, match="no address of this machine"):
        bind("no.such.host.invalid", None)
    with pytest.raises(ShepherdError, match=r"Cannot listen at 192\.0\.2\.1, port 0"):
        bind("192.0.2.1", 0)


def test_without_gradio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ShepherdError, match=r"pip install 'fedshepherd\[chat\]'"):
        load_gradio()
