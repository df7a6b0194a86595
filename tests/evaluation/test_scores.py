from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from shepherd.errors import ShepherdError
from shepherd.evaluation.group_scores import by_group
from shepherd.evaluation.groups import group
from shepherd.evaluation.measured import Measured, is_worse
from shepherd.evaluation.scores import scores
from shepherd.study.answers import Answer
from shepherd.study.directory import Study
from shepherd.study.questions import Question

Make = Callable[..., Study]

QUESTIONS = [
    Question("a", "one", "?", references=["red apple", "an apple"]),
    Question("b", "one", "?", references=["blue"]),
    Question("c", "two", "?"),
    Question("d", "two", "?", references=["green tea"]),
]
ANSWERS = {
    "tuned": [
        Answer("a", "apple", 3, True, 2.0, 4),
        Answer("b", "Blue!", 2, True, 1.0, 1),
        Answer("c", "said anyway", 9, False),
    ],
    "base": [
        Answer("a", "an apple", 3, True, 3.0, 4),
        Answer("b", "red", 2, True, 2.0, 1),
        Answer("c", "", 9, False),
        Answer("d", "tea", None, None, 5.0, 2),
    ],
}


def test_scores_by_hand(make_study: Make) -> None:
    found = scores(make_study(QUESTIONS, ANSWERS))
    tuned, base = found.model("tuned"), found.model("base")
    nan = math.nan
    np.testing.assert_allclose(tuned.values("exact_match"), [0, 1, nan, nan])
    np.testing.assert_allclose(tuned.values("token_f1"), [2 / 3, 1, nan, nan])
    np.testing.assert_allclose(base.values("rouge_l"), [1, 0, nan, 2 / 3])
    np.testing.assert_allclose(base.words, [2, 1, 0, 1])
    np.testing.assert_allclose(base.cut, [0, 0, 1, nan])
    assert base.cut_share == pytest.approx(1 / 3)
    assert (tuned.answered, tuned.mean_words) == (3, 4 / 3)
    assert any("tuned answered 3 of 4" in note for note in found.notes)
    assert any("1 of 4 questions have no reference" in note for note in found.notes)


def test_the_loss_is_in_nats_per_token(make_study: Make) -> None:
    tuned = scores(make_study(QUESTIONS, ANSWERS)).model("tuned").measured["loss"]
    assert tuned.mean == pytest.approx((2.0 * 4 + 1.0 * 1) / 5)
    assert tuned.interval().estimate == pytest.approx(tuned.mean)


def test_differences_are_over_what_both_answered(make_study: Make) -> None:
    differences = scores(make_study(QUESTIONS, ANSWERS)).against("base").model("tuned")
    np.testing.assert_allclose(differences.values("exact_match"), [-1, 1, math.nan, math.nan])
    assert differences.measured["loss"].mean == pytest.approx(-1)
    assert differences.mean_words == pytest.approx((-1 + 0 + 2) / 3)


def test_losses_under_other_tokens_have_no_difference() -> None:
    one = Measured(np.array([1.0, 2.0]), np.array([3.0, 5.0]))
    other = Measured(np.array([1.5, 2.5]), np.array([3.0, 6.0]))
    np.testing.assert_allclose(one.minus(other).values, [-0.5, math.nan])


def test_the_interval_of_a_mean_is_that_of_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(2.0, 1.0, 400)
    found = Measured(values, np.ones(400)).interval()
    error = values.std() / math.sqrt(400)
    assert found.estimate == pytest.approx(values.mean())
    assert found.half_width == pytest.approx(1.96 * error, rel=0.05)


def test_a_study_without_references_still_counts_words(make_study: Make) -> None:
    found = scores(make_study([Question("v", "", "?")], {"m": [Answer("v", "three little words")]}))
    assert found.metrics == []
    assert found.models[0].mean_words == 3
    assert math.isnan(found.models[0].cut_share)


def test_forgetting_names_the_groups_that_got_worse(make_study: Make) -> None:
    questions = [
        Question(f"{c}{i}", c, "?", references=["right"]) for c in ("kept", "lost") for i in range(30)
    ]
    base = [Answer(q.id, "right" if int(q.id[4:]) % 3 else "wrong") for q in questions]
    tuned = [Answer(q.id, "wrong" if q.category == "lost" else "right") for q in questions]
    found = scores(make_study(questions, {"base": base, "tuned": tuned}))
    grouping = group(questions, "category")
    (tuned_less_base,) = by_group(found.against("base"), grouping, "exact_match")
    assert tuned_less_base.groups["lost"].estimate == pytest.approx(-2 / 3)
    assert tuned_less_base.groups["kept"].estimate == pytest.approx(1 / 3)
    assert [name for name, d in tuned_less_base.groups.items() if is_worse(d, "exact_match")] == ["lost"]


def test_losses_of_other_bases_have_no_difference(make_study: Make) -> None:
    question = Question("q", "", "?", references=["right"])
    given = Answer("q", "right", loss=1.0, loss_tokens=1)
    study = make_study([question], {"a": [given], "b": [given]})
    assert "loss" in scores(study).against("a").models[0].measured
    study.write_card(replace(study.card("b"), base_fingerprint="another"))
    assert set(scores(study).against("a").models[0].measured) == {"rouge_l", "exact_match", "token_f1"}


def test_who_has_not_answered_is_said(make_study: Make) -> None:
    study = make_study(QUESTIONS, {"tuned": ANSWERS["tuned"]})
    with pytest.raises(ShepherdError, match="no answers of 'tund'; did you mean 'tuned'"):
        scores(study, ["tund"])
    with pytest.raises(ShepherdError, match="holds no answers yet"):
        scores(make_study(QUESTIONS, {}), [])
    with pytest.raises(ShepherdError, match="no scores of 'base'"):
        scores(study).against("base")
