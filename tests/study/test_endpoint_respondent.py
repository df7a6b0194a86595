from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fake_server import FakeServer, completion, error, question
from shepherd.endpoint import EndpointSettings
from shepherd.errors import ShepherdError
from shepherd.evaluation.decoding import DecodingSettings
from shepherd.study.endpoint_respondent import EndpointRespondent, open_endpoint
from shepherd.study.questions import Question

QUESTIONS = [Question("a", "", "Sum up.", "The sheep sleep."), Question("b", "", "Why?")]
DECODING = DecodingSettings(max_new_tokens=9, temperature=0.5)


@pytest.fixture
def server() -> Any:
    with FakeServer(lambda body: f"  On '{question(body)}'  ") as server:
        yield server


def respondent(server: FakeServer, tmp_path: Path, **changes: Any) -> EndpointRespondent:
    values = {"model": "gpt", "base_url": server.url, "backoff_s": 0.005, "attempts": 2, **changes}
    return open_endpoint("ChatGPT", EndpointSettings.model_validate(values), tmp_path / "gpt.replies.jsonl")


def test_it_is_sent_the_words_alone_and_answers_as_the_others_do(server: FakeServer, tmp_path: Path) -> None:
    gpt = respondent(server, tmp_path)
    found = {answer.question: answer for answer in gpt.answers(QUESTIONS, DECODING)}
    assert found["a"].answer == "On 'Sum up.\n\nThe sheep sleep.'"
    assert found["b"].answer == "On 'Why?'"
    assert (found["b"].tokens, found["b"].ended, found["b"].loss) == (2, True, None)
    assert {call["temperature"] for call in server.calls} == {0.5}
    assert {len(call["messages"]) for call in server.calls} == {1}
    assert (gpt.card.label, gpt.card.kind, gpt.card.source) == ("ChatGPT", "endpoint", "gpt")
    assert gpt.card.about == {"base_url": server.url}


def test_nothing_is_paid_for_twice(server: FakeServer, tmp_path: Path) -> None:
    first = list(respondent(server, tmp_path).answers(QUESTIONS[:1], DECODING))
    again = list(respondent(server, tmp_path).answers(QUESTIONS, DECODING))
    assert len(server.calls) == 2
    assert again[0] == first[0]


def test_a_cut_answer_is_told_from_one_that_ended(server: FakeServer, tmp_path: Path) -> None:
    server.script.append(completion("The sheep", finish_reason="length"))
    (answer,) = respondent(server, tmp_path).answers(QUESTIONS[:1], DECODING)
    assert answer.ended is False


def test_what_was_answered_comes_before_the_failure(server: FakeServer, tmp_path: Path) -> None:
    server.answer = lambda body: error(500) if "Why" in question(body) else "Fine."
    answers = respondent(server, tmp_path).answers(QUESTIONS, DECODING)
    assert next(answers).answer == "Fine."
    with pytest.raises(ShepherdError):
        list(answers)


@pytest.mark.parametrize(
    "setting", [{"top_p": 0.9}, {"top_k": 5}, {"repetition_penalty": 1.2}, {"temperature": 3}]
)
def test_settings_it_cannot_be_told_of(server: FakeServer, tmp_path: Path, setting: dict[str, float]) -> None:
    with pytest.raises(ShepherdError, match="endpoint"):
        list(respondent(server, tmp_path).answers(QUESTIONS, DECODING.model_copy(update=setting)))
    assert server.calls == []
