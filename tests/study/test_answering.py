from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from shepherd.endpoint import Reply, ReplyStore
from shepherd.errors import ShepherdError
from shepherd.evaluation.decoding import DecodingSettings
from shepherd.files import write_json
from shepherd.judge.judgement import Judgement
from shepherd.study.answering import Watcher, answer, replies_path
from shepherd.study.answers import Answer, ModelCard
from shepherd.study.directory import Study
from shepherd.study.questions import Question

QUESTIONS = [Question(str(n), "", f"{n}?") for n in range(5)]
CARD = ModelCard("model", "run", "runs/model", fingerprint="1", prompt={"name": "plain"})
DECODING = DecodingSettings(max_new_tokens=8)


@dataclass
class Echo:
    """Answers every question with its own words, from the last to the first, until it breaks."""

    card: ModelCard = CARD
    breaks_after: int = 100
    asked: list[str] = field(default_factory=list)

    def answers(
        self, questions: Sequence[Question], decoding: DecodingSettings, batch_size: int | None
    ) -> Iterator[Answer]:
        for count, question in enumerate(reversed(questions)):
            if count == self.breaks_after:
                raise KeyboardInterrupt
            self.asked.append(question.id)
            yield Answer(question.id, f"{question.instruction} indeed", 3, question.id != "2")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    study = Study(tmp_path / "study")
    study.begin(QUESTIONS, "questions.jsonl")
    return study


def test_answers_are_kept_in_the_questions_order_with_a_card(study: Study) -> None:
    found = answer(study, Echo(), DECODING)
    assert [a.question for a in found.answers] == list("01234")
    assert (found.words, found.cut, found.questions) == (2, 1, 5)
    assert study.card("model") == replace(CARD, decoding=DECODING.effective())
    assert list(study.answers("model").values()) == found.answers


@pytest.mark.parametrize("left", ["", '{"question": "1", "ans', '{"question": "1", "answer": "whole?"}'])
def test_what_was_stopped_goes_on_with_what_is_missing(study: Study, left: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        answer(study, Echo(breaks_after=3), DECODING)
    with study.answers_path("model").open("a") as stream:
        stream.write(left)  # a line that a kill cut short: it has no end
    again = Echo()
    found = answer(study, again, DECODING)
    assert again.asked == ["1", "0"]
    assert [a.answer for a in found.answers] == [f"{n}? indeed" for n in range(5)]
    lines = study.answers_path("model").read_text().splitlines()
    assert [json.loads(line)["question"] for line in lines] == list("43210")


def test_a_line_that_a_kill_cut_short_is_nobodys_answer(study: Study) -> None:
    answer(study, Echo(), DECODING)
    with study.answers_path("model").open("a") as stream:
        stream.write('{"question": "1", "answer": "who')
    assert study.answers("model")["1"].answer == "1? indeed"


@pytest.mark.parametrize("line", ['{"question": "1", "answer": 3}', '{"question": "1"}', '{"quest": "1"}'])
def test_a_damaged_answer_is_named(study: Study, line: str) -> None:
    answer(study, Echo(), DECODING)
    with study.answers_path("model").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(ShepherdError, match="line 6, is no answer"):
        study.answers("model")


def test_an_answer_to_no_question_of_the_study_is_refused(study: Study) -> None:
    answer(study, Echo(), DECODING)
    path = study.answers_path("model")
    with path.open("a") as stream:
        stream.write('{"question": "77", "answer": "so"}\n')
    with pytest.raises(ShepherdError, match=f"{path} answers '77', which is no question of"):
        study.answers("model")


def test_questions_edited_by_hand_are_refused(study: Study) -> None:
    path = study.path / "questions.jsonl"
    path.write_text(path.read_text().replace("3?", "What else?"))
    with pytest.raises(ShepherdError, match=f"{path} does not hold the questions .* restore it, or begin"):
        study.questions()


def test_whom_to_ask_is_told_in_a_way_that_works(study: Study, tmp_path: Path) -> None:
    answer(study, Echo(), DECODING)
    with pytest.raises(
        ShepherdError, match=r"did you mean 'model'.*; to ask it, give `shepherd answer` its run"
    ):
        study.model("modle")
    with pytest.raises(
        ShepherdError, match=f"ask it first: shepherd answer {tmp_path} --study {study.path}$"
    ):
        study.model(str(tmp_path))


def test_answers_given_anew_take_what_judges_said_of_the_old_ones_along(study: Study) -> None:
    answer(study, Echo(), DECODING)
    answer(study, Echo(replace(CARD, label="other")), DECODING)
    said = [
        Judgement("single", "1", label, "", False, 0, 5.0, None, None, "", True, "k")
        for label in ("model", "other")
    ]
    write_json(study.judge_path("judge") / "settings.json", {})
    study.write_judgements("judge", said)
    answer(study, Echo(), DECODING, anew=True)
    assert study.judgements("judge") == said[1:]


def test_a_temperature_that_an_endpoint_refused_is_on_its_card(study: Study) -> None:
    class Refusing(Echo):
        def answers(
            self, questions: Sequence[Question], decoding: DecodingSettings, batch_size: int | None
        ) -> Iterator[Answer]:
            reply = Reply("key", "hi", None, None, None, "gpt")
            ReplyStore(replies_path(study, "model")).add(reply, {"model": "gpt"})
            yield from super().answers(questions, decoding, batch_size)

    for _ in range(2):
        answer(study, Refusing(), DECODING)
        assert study.card("model").about == {"temperature_accepted": False}
    answer(study, Echo(), DECODING, anew=True)
    assert study.card("model").about == {}


def test_an_endpoint_that_moved_is_another_model(study: Study) -> None:
    here, there = (
        replace(CARD, kind="endpoint", about={"base_url": url}) for url in ("http://a", "http://b")
    )
    answer(study, Echo(here), DECODING)
    with pytest.raises(ShepherdError, match=r"at another server \(http://a, not http://b\)"):
        answer(study, Echo(there), DECODING)


def test_what_is_done_is_not_asked_again(study: Study) -> None:
    answer(study, Echo(), DECODING)
    before = study.answers_path("model").read_bytes()
    again = Echo()
    assert len(answer(study, again, DECODING).answers) == 5
    assert again.asked == []
    assert study.answers_path("model").read_bytes() == before


@pytest.mark.parametrize(
    ("card", "decoding", "sentence"),
    [
        (replace(CARD, fingerprint="2"), DECODING, "its weights have changed"),
        (replace(CARD, base_fingerprint="2"), DECODING, "its base model has changed"),
        (replace(CARD, kind="endpoint"), DECODING, "its kind has changed"),
        (replace(CARD, prompt={"name": "alpaca"}), DECODING, "prompt name='plain', not 'alpaca'"),
        (CARD, DecodingSettings(max_new_tokens=9), "decoding max_new_tokens=8, not 9"),
        (CARD, DecodingSettings(max_new_tokens=8, temperature=1), "decoding seed=None, not 0"),
    ],
)
def test_other_settings_are_refused_unless_anew(
    study: Study, card: ModelCard, decoding: DecodingSettings, sentence: str
) -> None:
    answer(study, Echo(), DECODING)
    with pytest.raises(ShepherdError, match=rf"'model' has answered before, .*{sentence}.* --anew"):
        answer(study, Echo(card), decoding)
    assert study.card("model").decoding == DECODING.effective()
    anew = Echo(card)
    answer(study, anew, decoding, anew=True)
    assert len(anew.asked) == 5
    assert study.card("model") == replace(card, decoding=decoding.effective())
    assert len(study.answers_path("model").read_text().splitlines()) == 5


def test_what_says_the_same_may_change(study: Study) -> None:
    answer(study, Echo(), DECODING)
    moved = replace(CARD, source="elsewhere", about={"seed": 0})
    assert answer(study, Echo(moved), DECODING.model_copy(update={"seed": 7})).seconds < 10
    assert study.card("model").source == "elsewhere"


def test_damaged_answers_are_named_by_line(study: Study) -> None:
    answer(study, Echo(), DECODING)
    path = study.answers_path("model")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "{broken", *lines[2:]]) + "\n")
    with pytest.raises(
        ShepherdError, match=r"model\.jsonl, line 2, is no JSON object .*; restore it, or delete"
    ):
        answer(study, Echo(), DECODING)
    path.write_text("\n".join([lines[0], '{"something": 1}', *lines[2:]]) + "\n")
    with pytest.raises(ShepherdError, match=r"model\.jsonl, line 2, is no answer"):
        answer(study, Echo(), DECODING)


def test_who_watches_hears_of_every_new_answer(study: Study) -> None:
    heard: list[object] = []

    class Listening(Watcher):
        def asking(self, label: str, answered: int, questions: int) -> None:
            heard.append((label, answered, questions))

        def answered(self, answer: Answer) -> None:
            heard.append(answer.question)

    with pytest.raises(KeyboardInterrupt):
        answer(study, Echo(breaks_after=2), DECODING)
    answer(study, Echo(), DECODING, watcher=Listening())
    assert heard == [("model", 2, 5), "2", "1", "0"]


@pytest.mark.parametrize("label", ["..", "../x", "a/../b", "./a", "a/", ""])
def test_no_label_leads_out_of_the_study(tmp_path: Path, label: str) -> None:
    with pytest.raises(ShepherdError, match="cannot name a model"):
        Study(tmp_path).answers_path(label)
