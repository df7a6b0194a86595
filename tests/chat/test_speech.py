"""Answers as they grow: the same as `shepherd answer` gives, stopped when told, and no two at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from shepherd.chat.exchange import Exchange, Turn, ask, in_turn, side_by_side
from shepherd.chat.models import Speaker
from shepherd.chat.speech import speak
from shepherd.errors import ShepherdError
from shepherd.evaluation.decoding import DecodingSettings
from shepherd.study.questions import Question

GREEDY = DecodingSettings(max_new_tokens=12)
DRAWN = DecodingSettings(max_new_tokens=12, temperature=1.0, seed=5)


@pytest.fixture
def short_breaths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model is interrupted after each token."""
    monkeypatch.setattr("shepherd.chat.speech._BREATH_S", 0.0)


def whole(speaker: Speaker, decoding: DecodingSettings, stop: threading.Event | None = None) -> list[Any]:
    tokens = speaker.send("Tell me a story.", "", 12).tokens
    return list(speak(speaker, tokens, decoding, stop or threading.Event()))


@pytest.mark.parametrize("decoding", [GREEDY, DRAWN])
def test_it_ends_with_the_answer_that_a_study_would_store(
    speakers: list[Speaker], decoding: DecodingSettings
) -> None:
    question = Question("chat", "", "Tell me a story.")
    for speaker in speakers:
        (stored,) = speaker.respondent.answers([question], decoding)
        last = whole(speaker, decoding)[-1]
        assert (last.text, last.tokens) == (stored.answer, stored.tokens)
        assert last.end == ("ended" if stored.ended else "cut")


def test_it_grows_token_by_token(speakers: list[Speaker], short_breaths: None) -> None:
    found = whole(speakers[1], GREEDY)
    assert [speech.tokens for speech in found] == list(range(1, found[-1].tokens + 1))
    assert [speech.end for speech in found[:-1]] == [None] * (len(found) - 1)
    assert found[-1].end is not None


def test_side_by_side_gives_what_one_after_another_gives(
    speakers: list[Speaker], short_breaths: None
) -> None:
    exchange = Exchange.begin(speakers, "Tell me a story.", "", GREEDY)
    asked = list(side_by_side(ask(speakers, exchange, threading.Event())))
    assert [number for number, _ in asked[:6]] == [0, 1, 2, 0, 1, 2]
    last = dict(asked)
    after = dict(in_turn(ask(speakers, exchange, threading.Event())))
    for number in range(3):
        assert last[number].speech.text == after[number].speech.text
        assert last[number].speech.end == after[number].speech.end
    assert len({turn.speech.text for turn in last.values()}) == 3


def test_the_same_seed_gives_the_same_answer_and_another_another(speakers: list[Speaker]) -> None:
    first, again = (whole(speakers[1], DRAWN)[-1].text for _ in range(2))
    assert first == again
    assert whole(speakers[1], DRAWN.model_copy(update={"seed": 6}))[-1].text != first


def test_stopping_ends_what_is_said_and_asks_nobody_else(
    speakers: list[Speaker], short_breaths: None
) -> None:
    stop = threading.Event()
    exchange = Exchange.begin(speakers, "Tell me a story.", "", GREEDY)
    told: list[tuple[int, Turn]] = []
    for number, turn in in_turn(ask(speakers, exchange, stop)):
        told.append((number, turn))
        if turn.speech.tokens == 3:
            stop.set()
    assert {number for number, _ in told} == {0}
    assert told[-1][1].speech.end == "stopped"
    assert told[-1][1].speech.tokens == 4
    assert "stopped" in told[-1][1].note


def test_an_answer_nobody_listens_to_holds_no_model(speakers: list[Speaker], short_breaths: None) -> None:
    growing = speak(speakers[1], [1, 5, 9], GREEDY, threading.Event())
    next(growing)
    assert speakers[1].lock.acquire(timeout=1)
    speakers[1].lock.release()


def test_a_model_that_fails_says_so_and_the_next_is_asked(
    speakers: list[Speaker], monkeypatch: pytest.MonkeyPatch
) -> None:
    from shepherd.chat import speech

    real, failed = speech.continued, speakers[0].respondent

    def broken(model: Any, *arguments: Any) -> Iterator[dict[int, int]]:
        if broken.calls == 0:  # type: ignore[attr-defined]
            broken.calls = 1  # type: ignore[attr-defined]
            raise RuntimeError("no more memory\nat all")
        yield from real(model, *arguments)

    broken.calls = 0  # type: ignore[attr-defined]
    monkeypatch.setattr(speech, "continued", broken)
    exchange = Exchange.begin(speakers, "Hello", "", GREEDY)
    told = dict(in_turn(ask(speakers, exchange, threading.Event())))
    assert (
        told[0].note
        == f"{failed.card.label} cannot answer (no more memory); shorten the prompt or the answer."
    )
    assert told[1].speech.end is not None
    assert told[2].speech.end is not None


def test_more_than_a_model_can_see_is_refused_with_the_way_out(speakers: list[Speaker]) -> None:
    with pytest.raises(ShepherdError, match="sees 256 tokens"):
        speakers[0].send("Hello", "", 1000)
