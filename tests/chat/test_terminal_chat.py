"""The chat in a terminal: prompts and commands come through a pipe."""

from __future__ import annotations

import io
import os
import signal
from typing import Any

import pytest
from rich.console import Console

from shepherd.chat.models import Speaker
from shepherd.chat.terminal import TerminalChat
from shepherd.errors import ShepherdError
from shepherd.evaluation.decoding import DecodingSettings


@pytest.fixture
def talk(speakers: list[Speaker], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a chat on these lines; returns what was printed."""

    def run(*lines: str) -> str:
        printed = Console(file=io.StringIO(), width=60)
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(line + "\n" for line in lines)))
        TerminalChat(speakers, DecodingSettings(max_new_tokens=6), printed).run()
        return printed.file.getvalue()  # type: ignore[attr-defined]

    return run


def test_a_line_is_a_prompt_for_every_model(talk: Any) -> None:
    printed = talk("Tell me a story.", "/quit", "never reached")
    assert printed.startswith("Models: base, one, two.")
    assert [name for name in ("base", "one", "two") if f"\n{name}\n" in printed] == ["base", "one", "two"]
    assert printed.count(" tokens in ") + printed.count(" token in ") == 3


def test_the_answer_printed_piece_by_piece_is_the_answer(
    talk: Any, speakers: list[Speaker], monkeypatch: pytest.MonkeyPatch
) -> None:
    from shepherd.study.questions import Question

    monkeypatch.setattr("shepherd.chat.speech._BREATH_S", 0.0)
    printed = talk("Tell me a story.")
    decoding = DecodingSettings(max_new_tokens=6)
    for speaker in speakers:
        (stored,) = speaker.respondent.answers([Question("chat", "", "Tell me a story.")], decoding)
        assert f"\n{speaker.card.label}\n{stored.answer}\n" in printed


def test_the_context_goes_with_prompts_until_it_is_taken_away(talk: Any) -> None:
    printed = talk("/prompt Say it.", "/context A [text].", "/prompt Say it.", "/context", "/prompt Say it.")
    assert printed.count("Say it.\nA [text].\n") == 3
    assert "The context is 9 characters long now." in printed
    assert "There is no context now." in printed


def test_settings_change_and_what_cannot_be_used_is_said(talk: Any) -> None:
    printed = talk(
        "/settings temperature=0.7 seed=3 top_k=5", "/settings top_k=off", "/settings", "/settings temperature=-1",
        "/settings tempratur=1", "/settings warm", "/prompt", "/nothing", "",
    )  # fmt: skip
    assert "temperature 0.7, top k 5, repetition penalty 1.0, seed 3" in printed
    assert printed.count("temperature 0.7, repetition penalty 1.0, seed 3") == 2
    for said in (
        "greater than or equal to 0",
        "did you mean 'temperature'?",
        "'warm' is no setting",
        "Nothing has been asked yet",
        "There is no command /nothing",
        "Write a prompt, or /help.",
    ):
        assert said in printed


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_bytes_that_are_no_text_end_the_chat_with_a_sentence(
    speakers: list[Speaker], monkeypatch: pytest.MonkeyPatch, errors: str
) -> None:
    typed = io.TextIOWrapper(io.BytesIO(b"\xff\n"), encoding="utf-8", errors=errors)
    monkeypatch.setattr("sys.stdin", typed)
    chat = TerminalChat(speakers, DecodingSettings(), Console(file=io.StringIO()))
    with pytest.raises(ShepherdError, match="standard input is not UTF-8"):
        chat.run()


def test_an_interrupt_stops_the_answer_and_not_the_chat(
    talk: Any, speakers: list[Speaker], monkeypatch: pytest.MonkeyPatch
) -> None:
    from shepherd.chat import speech

    real = speech.continued

    def interrupted(*arguments: Any) -> Any:
        for said in real(*arguments):
            os.kill(os.getpid(), signal.SIGINT)
            yield said

    monkeypatch.setattr(speech, "_BREATH_S", 0.0)
    monkeypatch.setattr(speech, "continued", interrupted)
    before = signal.getsignal(signal.SIGINT)
    printed = talk("Tell me a story.", "/help")
    assert "stopped." in printed
    assert "\none\n" not in printed
    assert "/settings key=value" in printed
    assert signal.getsignal(signal.SIGINT) is before
