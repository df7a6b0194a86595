"""`shepherd chat`: from the words on the command line to the conversation."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def chat(shepherd: Any) -> Any:
    """Runs `shepherd chat`, with nobody typing unless lines are given."""
    return partial(shepherd, "chat", lines="")


def test_a_conversation_in_the_terminal(chat: Any, chat_runs: dict[str, str], tiny_base: Path) -> None:
    code, printed, errors = chat(
        chat_runs["one"], "--terminal", "--no-base", "--max-new-tokens", "3", lines="Hello\n/settings\n"
    )
    assert (code, errors) == (0, "")
    assert printed.startswith("Models: one.")
    assert "max new tokens 3, temperature 0.0, repetition penalty 1.0 (greedy)" in printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--terminal", "--top-p", "2"], "top_p"),
        (["--top-p", "0"], "top_p"),
        (["--host", "no.such.host.invalid"], "no address of this machine"),
    ],
)
def test_mistakes_are_a_sentence(
    chat: Any, chat_runs: dict[str, str], arguments: list[str], said: str
) -> None:
    code, _, errors = chat(chat_runs["one"], *arguments)
    assert code == 2
    assert said in errors
    assert "Traceback" not in errors


def test_a_run_that_is_not_there(chat: Any, tmp_path: Path) -> None:
    code, _, errors = chat(str(tmp_path / "nothing"), "--terminal")
    assert code == 2
    assert str(tmp_path / "nothing") in errors


def test_the_page_is_served_and_a_host_for_everybody_is_warned_of(
    chat: Any, chat_runs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Served:
        def run(self, sockets: list[Any]) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr("shepherd.chat.server.server", lambda page, host: Served())
    code, printed, errors = chat(chat_runs["one"], "--host", "0.0.0.0")
    assert code == 0
    assert "The page is at http://127.0.0.1:" in printed
    assert errors.count("asks for no password") == 1
    assert chat(chat_runs["one"])[2] == ""
