"""Asking a judge: whose score is whose, what is asked again, what is never paid twice, and what is written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_study import by_worth, make_study, settings, shown, worths

from fake_server import Canned, FakeServer, completion, error
from shepherd.endpoint import Reply, ReplyStore
from shepherd.errors import ShepherdError
from shepherd.judge.choosing import chosen_models, comparisons, kinship
from shepherd.judge.comparisons import Comparison, joined, ratings_of
from shepherd.judge.judging import Outcome, Watcher, judge, plan, recompute
from shepherd.judge.record import read_record
from shepherd.judge.settings import JudgeSettings
from shepherd.study.answers import ModelCard
from shepherd.study.directory import Study, write_lines

NAME = "judge-1"


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(
        tmp_path / "study",
        {"base": ["5", "5", "5", "5"], "tuned": ["8", "7", "6", "5"], "other": ["2", "3", "4", "9"]},
    )


def asked(study: Study, how: JudgeSettings, models: Sequence[str] = ("tuned",), **more: Any) -> Outcome:
    """Judge models against `base` on all questions."""
    ids = [question.id for question in study.questions()]
    wanted = comparisons(study, models, "base", ids, how, **more)
    return judge(study, NAME, how, wanted)


def files(study: Study) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in study.judge_path(NAME).iterdir()}


def test_scores_go_to_whom_they_belong_in_both_orders(study: Study, server: FakeServer) -> None:
    outcome = asked(study, settings(server.url, ratings=2), ["tuned", "other"])
    assert len(outcome.judgements) == 4 * 2 * 2 * 2
    assert outcome.judgements == study.judgements(NAME)
    worth = {"tuned": [8, 7, 6, 5], "other": [2, 3, 4, 9]}
    for judgement in outcome.judgements:
        mine = worth[judgement.model][int(judgement.question[1:])]
        assert (judgement.score, judgement.reference_score) == (mine, 5)
        assert judgement.winner == ("model" if mine > 5 else "reference" if mine < 5 else "tie")
        assert judgement.reason == "As they say themselves."
    assert {j.swapped for j in outcome.judgements} == {False, True}


def test_a_judge_that_likes_the_first_place_likes_each_model_once(study: Study, server: FakeServer) -> None:
    server.answer = lambda body: "[[A]]"
    for judgement in asked(study, settings(server.url, form="verdict")).judgements:
        assert judgement.winner == ("reference" if judgement.swapped else "model")
        assert (judgement.score, judgement.reference_score) == (None, None)


def test_each_order_shows_what_it_says(study: Study, server: FakeServer) -> None:
    asked(study, settings(server.url))
    assert sorted(map(worths, server.calls)) == sorted(
        order for mine in "8765" for order in ([mine, "5"], ["5", mine])
    )


def test_one_order_shows_the_model_first(study: Study, server: FakeServer) -> None:
    outcome = asked(study, settings(server.url, swap=False))
    assert [text.split()[0] for body in server.calls for text in shown(body)] == ["tuned", "base"] * 4
    assert not any(judgement.swapped for judgement in outcome.judgements)


def test_single_grading_shows_one_answer_and_grades_the_reference_too(
    study: Study, server: FakeServer
) -> None:
    server.answer = lambda body: f"Rating: [[{worths(body)[0]}]]"
    outcome = asked(study, settings(server.url, form="single"))
    assert len(server.calls) == 4 + 4
    assert all(len(shown(body)) == 1 for body in server.calls)
    assert [(j.model, j.score) for j in outcome.judgements if j.question == "q0"] == [
        ("base", 5),
        ("tuned", 8),
    ]
    assert {(j.reference, j.reference_score, j.winner, j.swapped) for j in outcome.judgements} == {
        ("", None, None, False)
    }


def test_ratings_are_in_the_order_of_question_model_order_and_rating(
    study: Study, server: FakeServer
) -> None:
    asked(study, settings(server.url, ratings=2), ["tuned", "other"])
    places = [(j.question, j.model, j.swapped, j.rating) for j in study.judgements(NAME)]
    assert places == sorted(places)
    assert len(set(places)) == len(places) == 32


def test_equal_answers_are_asked_about_once_for_both_orders(tmp_path: Path, server: FakeServer) -> None:
    study = make_study(tmp_path / "same", {"base": ["5"], "tuned": ["5"]}, questions=1)
    for label in ("base", "tuned"):
        answer = study.answers("base")["q0"]
        write_lines(study.answers_path(label), [answer])
    server.answer = lambda body: "8 6"
    outcome = asked(study, settings(server.url))
    assert len(server.calls) == 1
    assert [(j.swapped, j.score, j.reference_score) for j in outcome.judgements] == [
        (False, 8, 6),
        (True, 6, 8),
    ]


def test_what_cannot_be_read_is_asked_again_then_counted(study: Study, server: FakeServer) -> None:
    bad = {"8": ["ten nine", "9/10", "8 5"], "7": ["0 5", "11 5", "x" * 900]}

    def answer(body: dict[str, Any]) -> str:
        replies = bad.get(worths(body)[0])
        return replies.pop(0) if replies else by_worth(body)

    server.answer = answer
    outcome = asked(study, settings(server.url, swap=False, retries=2))
    assert len(server.calls) == 4 + 2 + 2
    first, second, *_ = outcome.judgements
    assert (first.score, first.readable) == (8, True)
    assert (second.score, second.reference_score, second.winner, second.readable) == (None, None, None, False)
    assert second.reason == "x" * 499 + "…"
    assert outcome.unreadable == [second]


def test_no_rating_takes_another_ones_second_reply(study: Study, server: FakeServer) -> None:
    """Ratings and askings are numbered through, so that every request for the same text is one of its own."""
    server.answer = lambda body: "no"
    with pytest.raises(ShepherdError, match="12 of 12 ratings"):
        asked(study, settings(server.url, ratings=3, retries=1, swap=False))
    replies = ReplyStore(study.judge_path(NAME) / "replies.jsonl").replies
    assert len(server.calls) == len(replies) == 4 * 3 * 2
    assert len({judgement.reply for judgement in study.judgements(NAME)}) == 4 * 3


def test_a_judge_nobody_can_read_is_an_error_and_no_judge(study: Study, server: FakeServer) -> None:
    server.answer = lambda body: '"readable": true'
    with pytest.raises(ShepherdError) as refused:
        asked(study, settings(server.url))
    store = study.judge_path(NAME) / "replies.jsonl"
    assert str(refused.value) == (
        f"8 of 8 ratings by {NAME} could not be read, asked 3 times each; see what it says in {store}, and try another "
        "judge model, or another --form than scores."
    )
    assert (study.judges(), study.asked_judges()) == ([], [NAME])
    with pytest.raises(ShepherdError, match="8 of 8 ratings"):
        recompute(study, NAME)
    server.answer = lambda body: "[[A]]"
    asked(study, settings(server.url, form="verdict"))
    assert study.judges() == [NAME]


def test_a_temperature_that_was_refused_is_recorded(study: Study, server: FakeServer) -> None:
    def answer(body: dict[str, Any]) -> Canned | str:
        refused = error(400, "Unsupported value: 'temperature' does not support 0.2 with this model.")
        return refused if "temperature" in body else by_worth(body)

    asked(study, settings(server.url, swap=False))
    assert read_record(study, NAME).temperature_accepted
    server.answer = answer
    asked(study, settings(server.url))
    assert not read_record(study, NAME).temperature_accepted
    server.answer = by_worth
    asked(study, settings(server.url, ratings=2))
    assert not read_record(study, NAME).temperature_accepted


def test_nothing_is_paid_twice(study: Study, server: FakeServer) -> None:
    asked(study, settings(server.url))
    before, calls = files(study), len(server.calls)
    assert asked(study, settings(server.url)).replies == []
    assert len(server.calls) == calls
    assert files(study) == before
    more = asked(study, settings(server.url, ratings=3), ["tuned", "other"])
    assert len(server.calls) == len(more.replies) + calls == 4 * 2 * 2 * 3
    assert max(server.asked().values()) == 3


class _Stopped(Exception):
    """Asking ended before its time."""


class _Stops(Watcher):
    """Stops asking when so many replies have come."""

    def __init__(self, after: int) -> None:
        self.left = after

    def replied(self, reply: Reply) -> None:
        self.left -= 1
        if self.left == 0:
            raise _Stopped


@pytest.mark.parametrize("after", [1, 5, 11])
def test_a_stopped_call_goes_on_where_it_was(tmp_path: Path, after: int) -> None:
    worth: dict[str, list[str | None]] = {"base": ["5"] * 4, "tuned": ["8", "bad", "6", "5"]}
    whole, cut = make_study(tmp_path / "whole", worth), make_study(tmp_path / "cut", worth)
    with FakeServer(by_worth) as server:
        how = settings(server.url, endpoint={"concurrency": 1})
        asked(whole, how)
        once = len(server.calls)
        wanted = comparisons(cut, ["tuned"], "base", [q.id for q in cut.questions()], how)
        with pytest.raises(_Stopped):
            judge(cut, NAME, how, wanted, _Stops(after))
        assert len(server.calls) == once + after
        judge(cut, NAME, how, wanted)
        assert len(server.calls) == 2 * once
    left, right = files(cut), files(whole)
    assert sorted(left.pop("replies.jsonl").split(b"\n")) == sorted(right.pop("replies.jsonl").split(b"\n"))
    assert left == right


def test_recomputing_gives_the_same_bytes(study: Study, server: FakeServer) -> None:
    answers = iter(["8 5", "nonsense"] * 100)
    server.answer = lambda body: next(answers)
    asked(study, settings(server.url, ratings=2), ["tuned", "other"])
    server.answer = lambda body: "because\n[[C]]"
    asked(study, settings(server.url, form="verdict"), ["other"])
    before, calls = files(study), len(server.calls)
    recompute(study, NAME)
    assert files(study) == before
    (study.judge_path(NAME) / "judgements.jsonl").unlink()
    outcome = recompute(study, NAME)
    assert files(study) == before
    assert len(server.calls) == calls
    assert outcome.judgements == study.judgements(NAME)
    assert {judgement.form for judgement in outcome.judgements} == {"scores", "verdict"}


def test_recomputing_uses_the_prompt_that_was_sent(study: Study, server: FakeServer, tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("[system]\nJudge.\n[user]\n{question} {first} {second}")
    asked(study, settings(server.url, prompt=str(own)))
    before = files(study)
    own.unlink()
    recompute(study, NAME)
    assert files(study) == before
    (study.judge_path(NAME) / "prompt-scores.txt").write_text(
        "[system]\nOther.\n[user]\n{question}{first}{second}"
    )
    with pytest.raises(ShepherdError, match="not the prompt that the judge was asked with"):
        recompute(study, NAME)


def test_what_was_judged_before_is_kept(study: Study, server: FakeServer) -> None:
    asked(study, settings(server.url, ratings=2), ["tuned"])
    before = study.judgements(NAME)
    asked(study, settings(server.url), ["other"])
    assert [j for j in study.judgements(NAME) if j.model == "tuned"] == before
    how = settings(server.url)
    judge(study, NAME, how, comparisons(study, ["tuned"], "base", ["q1"], how))
    assert [j for j in study.judgements(NAME) if j.model == "tuned"] == before


def test_judgements_of_answers_that_changed_are_dropped_and_counted(study: Study, server: FakeServer) -> None:
    asked(study, settings(server.url), ["tuned"])
    fresh = [study.answers("other")["q0"], *list(study.answers("tuned").values())[1:]]
    write_lines(study.answers_path("tuned"), fresh)
    outcome = recompute(study, NAME)
    assert outcome.absent == 2
    assert {judgement.question for judgement in outcome.judgements} == {"q1", "q2", "q3"}


def test_the_settings_say_how_it_was_asked_and_hold_no_key(
    study: Study, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    asked(
        study, settings(server.url, ratings=2, endpoint={"temperature": 0.3, "price_in": 1, "price_out": 2})
    )
    said = study.judge_settings(NAME)
    assert (said["model"], said["temperature"], said["price_in"]) == (NAME, 0.3, 1)
    assert said["addresses"] == [server.url]
    assert set(said["prompts"]) == {"scores"}
    assert said["comparisons"] == [
        {
            "form": "scores",
            "model": "tuned",
            "reference": "base",
            "questions": ["q0", "q1", "q2", "q3"],
            "ratings": 2,
            "swap": True,
        }
    ]
    assert not any(b"sk-very-secret" in content for content in files(study).values())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"endpoint": {"temperature": 0.7}}, "has the temperature 0.0, not 0.7"),
        ({"endpoint": {"max_tokens": 7}}, "has the max tokens 1024, not 7"),
        ({"endpoint": {"model": "judge-2"}}, "has the model judge-1, not judge-2"),
        ({"retries": 5}, "has the retries 2, not 5"),
        ({"prompt": "own.txt"}, "another prompt for scores"),
    ],
)
def test_a_judge_asked_in_another_way_is_refused(
    study: Study, server: FakeServer, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    asked(study, settings(server.url))
    before, calls = files(study), len(server.calls)
    if "prompt" in change:
        (tmp_path / "own.txt").write_text("[system]\nJudge.\n[user]\n{question} {first} {second}")
        change = {"prompt": str(tmp_path / "own.txt")}
    with pytest.raises(ShepherdError, match="choose another --judge-name") as refusal:
        asked(study, settings(server.url, **change))
    assert says in str(refusal.value)
    assert (files(study), len(server.calls)) == (before, calls)


def test_a_judge_may_move_and_change_its_price(study: Study, server: FakeServer) -> None:
    asked(study, settings(server.url, endpoint={"price_in": 1, "price_out": 2}))
    with FakeServer(by_worth) as elsewhere:
        asked(study, settings(elsewhere.url), ["other"])
    said = study.judge_settings(NAME)
    assert len(said["addresses"]) == 2
    assert said["price_in"] == 1


def test_a_judge_that_cannot_be_asked_leaves_nothing_behind(study: Study, server: FakeServer) -> None:
    server.models = error(401, "Incorrect API key")
    with pytest.raises(ShepherdError, match="Cannot ask"):
        asked(study, settings(server.url))
    assert study.judges() == []
    assert server.calls == []


def test_a_call_that_fails_in_the_middle_keeps_what_was_answered(study: Study, server: FakeServer) -> None:
    server.answer = lambda body: error(500) if worths(body)[0] == "7" else completion(by_worth(body))
    with pytest.raises(ShepherdError, match="give the command again"):
        asked(study, settings(server.url, endpoint={"attempts": 1}))
    paid = len(server.answered)
    assert len(study.judgements(NAME)) == paid
    server.answer = by_worth
    asked(study, settings(server.url))
    assert len(server.answered) == 8
    assert paid >= 1
    assert len(study.judgements(NAME)) == 8


def test_a_plan_counts_what_is_paid_and_asks_nothing(study: Study, server: FakeServer) -> None:
    how = settings(server.url, ratings=2, endpoint={"price_in": 1, "price_out": 2, "max_tokens": 100})
    ids = [question.id for question in study.questions()]
    wanted = comparisons(study, ["tuned"], "base", ids, how)
    before = plan(study, NAME, how, wanted)
    assert (before.ratings, before.settled, before.estimate.calls) == (16, 0, 16)
    assert before.estimate.completion_tokens == 1600
    assert before.estimate.usd == pytest.approx((before.estimate.prompt_tokens + 2 * 1600) / 1e6)
    assert server.calls == []
    assert study.judges() == []
    judge(study, NAME, how, comparisons(study, ["tuned"], "base", ids[:1], how))
    after = plan(study, NAME, how, wanted)
    assert (after.ratings, after.settled, after.estimate.calls) == (16, 4, 12)


def test_missing_answers_are_refused_with_the_way_out(tmp_path: Path, server: FakeServer) -> None:
    study = make_study(tmp_path / "gaps", {"base": ["5", "5", None, "5"], "tuned": [None, "7", None, "5"]})
    with pytest.raises(ShepherdError) as refusal:
        asked(study, settings(server.url))
    said = str(refusal.value)
    assert "Of 4 questions" in said
    assert "2 by 'tuned', 1 by 'base'" in said
    assert (
        f"shepherd answer tuned=runs/tuned base=runs/base --study {study.path}` and the settings they were asked with"
        in said
    )
    assert "--answered-only" in said
    outcome = asked(study, settings(server.url), answered_only=True)
    assert {judgement.question for judgement in outcome.judgements} == {"q1", "q3"}


def test_no_common_answer_is_refused(tmp_path: Path, server: FakeServer) -> None:
    study = make_study(tmp_path / "gaps", {"base": ["5", None], "tuned": [None, "7"]}, questions=2)
    with pytest.raises(ShepherdError, match="no question that 'tuned' and 'base' answered"):
        asked(study, settings(server.url), answered_only=True)


def test_whom_to_judge(study: Study, tmp_path: Path) -> None:
    assert chosen_models(study, [], "base") == ["other", "tuned"]
    assert chosen_models(study, ["runs/tuned", "tuned"], "base") == ["tuned"]
    with pytest.raises(ShepherdError, match="against itself"):
        chosen_models(study, ["base"], "base")
    alone = make_study(tmp_path / "alone", {"base": ["5"]})
    with pytest.raises(ShepherdError, match="answers of nobody but 'base'"):
        chosen_models(alone, [], "base")
    with pytest.raises(ShepherdError, match="name a model with --against"):
        comparisons(study, ["tuned"], None, ["q0"], settings("http://127.0.0.1:1/v1"))


@pytest.mark.parametrize(
    ("card", "judge_model", "warns"),
    [
        (ModelCard("chatgpt", "endpoint", "gpt-3.5-turbo"), "gpt-4o", True),
        (ModelCard("mine", "run", "runs/x", base="meta-llama/Llama-3.1-8B"), "llama3:70b", True),
        (ModelCard("mine", "run", "runs/gpt-like", base="lamb"), "gpt-4o", False),
        (ModelCard("plain", "model", "/models/qwen2-7b/"), "Qwen/Qwen2.5-72B", True),
        (ModelCard("plain", "model", "lamb"), "gpt-4o", False),
    ],
)
def test_a_judge_of_ones_own_family_is_pointed_out(card: ModelCard, judge_model: str, warns: bool) -> None:
    warning = kinship([card], judge_model)
    assert (warning is not None) == warns
    assert warning is None or card.label in warning


COMPARISONS = st.builds(
    Comparison,
    form=st.sampled_from(["scores", "verdict"]),
    model=st.sampled_from(["a", "b"]),
    reference=st.just("r"),
    questions=st.sets(st.sampled_from(["q0", "q1", "q2"]), min_size=1).map(lambda ids: tuple(sorted(ids))),
    ratings=st.integers(1, 2),
    swap=st.booleans(),
)


@given(st.lists(COMPARISONS, max_size=5), st.lists(COMPARISONS, max_size=5))
def test_joined_comparisons_ask_for_what_their_parts_do(old: list[Comparison], new: list[Comparison]) -> None:
    places = {"q0": 0, "q1": 1, "q2": 2}
    together = joined(joined([], old), new)
    assert ratings_of(together, places) == ratings_of([*old, *new], places)
    assert not any(a.covers(b) for a in together for b in together if a is not b)


def test_damaged_settings_are_named(study: Study, server: FakeServer) -> None:
    asked(study, settings(server.url))
    path = study.judge_path(NAME) / "settings.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "retries": "many"}))
    with pytest.raises(ShepherdError, match=r"settings\.json is damaged: retries"):
        recompute(study, NAME)


def test_a_study_in_use_is_not_judged(study: Study, server: FakeServer) -> None:
    with study.held(), pytest.raises(ShepherdError, match="in use"):
        asked(study, settings(server.url))
