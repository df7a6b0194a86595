"""Results: sums, ratios and wins worked out by hand, FedIT's own, and what is said about them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from shepherd.errors import ShepherdError
from shepherd.judge.judgement import Form, Judgement
from shepherd.judge.results import JudgeResults, ModelResult, judge_results
from shepherd.study.answers import Answer, ModelCard
from shepherd.study.directory import Study, write_lines
from shepherd.study.questions import Question

Pair = tuple[float, float] | None
#: By question: the ratings (model, reference) with the model shown first, and with the reference shown first.
Ratings = Mapping[str, tuple[list[Pair], list[Pair]]]
MakeStudy = Callable[..., Study]

HAND: Ratings = {
    "q1": ([(8, 6), (6, 6)], [(9, 5), None]),  # 7 to 6, 9 to 5: 8 to 5.5, won in both orders
    "q2": ([(4, 8), (4, 8)], [(6, 5), (6, 5)]),  # 4 to 8, 6 to 5: 5 to 6.5, lost and won: a tie
    "q3": ([None, None], [(3, 9), (5, 9)]),  # 4 to 9, in one order
}


def _judgements(
    ratings: Ratings, model: str = "m", reference: str = "r", form: Form = "scores"
) -> Iterator[Judgement]:
    for question, orders in ratings.items():
        for swapped, pairs in enumerate(orders):
            for rating, pair in enumerate(pairs):
                yield _judgement(form, question, model, reference, bool(swapped), rating, pair)


def _judgement(
    form: Form, question: str, model: str, reference: str, swapped: bool, rating: int, pair: Pair
) -> Judgement:
    place = (form, question, model, reference, swapped, rating)
    if pair is None:
        return Judgement(*place, None, None, None, "?", False, "key")
    own, other = pair
    winner = "tie" if own == other else "model" if own > other else "reference"
    if form == "verdict":
        return Judgement(*place, None, None, winner, "", True, "key")
    return Judgement(*place, own, None if form == "single" else other, winner, "", True, "key")


@pytest.fixture
def make_study(tmp_path: Path) -> MakeStudy:
    """Writes a study: questions, what a judge named `gpt` said, and answers of so many words."""

    def made(
        judgements: list[Judgement],
        words: Mapping[str, list[int]] | None = None,
        bases: Mapping[str, str] | None = None,
        questions: int | None = None,
    ) -> Study:
        study = Study(tmp_path / "study")
        ids = list(dict.fromkeys(j.question for j in judgements))
        ids += [f"more{k}" for k in range((questions or len(ids)) - len(ids))]
        asked = [Question(name, "even" if k % 2 else "odd", f"{name}?") for k, name in enumerate(ids)]
        study.begin(asked, "here")
        labels = {label for j in judgements for label in (j.model, j.reference) if label}
        for label in sorted(labels):
            base = (bases or {}).get(label)
            study.write_card(ModelCard(label, "run", f"runs/{label}", base=base, base_fingerprint=base))
            lengths = (words or {}).get(label, [3] * len(ids))
            answers = [Answer(name, " ".join(["word"] * n)) for name, n in zip(ids, lengths, strict=False)]
            write_lines(study.answers_path(label), answers)
        study.write_judgements("gpt", judgements)
        (study.judge_path("gpt") / "settings.json").write_text("{}")
        return study

    return made


def _only(results: JudgeResults) -> ModelResult:
    (model,) = results.models
    return model


def test_every_figure_of_a_small_table_worked_out_by_hand(make_study: MakeStudy) -> None:
    results = judge_results(make_study(list(_judgements(HAND))), "gpt")
    model = _only(results)
    assert (results.judge, results.form, results.reference, results.questions) == ("gpt", "scores", "r", 3)
    assert (model.label, model.reference, model.questions) == ("m", "r", 3)
    assert (model.ratings, model.unreadable, model.one_order) == (9, 3, 1)
    assert (model.model_sum, model.reference_sum) == (17, 21)
    assert model.reference_over_model.estimate == pytest.approx(21 / 17)
    assert model.model_over_reference.estimate == pytest.approx(17 / 21)
    assert (model.wins, model.ties, model.losses, model.win_rate.estimate) == (1, 1, 1, 0.5)
    assert model.mean.estimate == pytest.approx(17 / 3)
    assert model.difference.estimate == pytest.approx(-4 / 3)
    # First less second: 1, -4 and -4, -1 on the two questions with both orders.
    assert model.position_bias is not None
    assert model.position_bias.estimate == pytest.approx(-2)
    assert model.self_agreement == 3 / 4
    assert model.swap_consistency == 1 / 2
    assert model.by_category == {"odd": (6, 7.25), "even": (5, 6.5)}
    assert model.by_question["q1"].preference == 1
    assert (model.by_question["q2"].score, model.by_question["q2"].reference_score) == (5, 6.5)
    assert (model.words, model.reference_words) == (3, 3)
    assert model.length_controlled is None
    assert model.inside_noise


@pytest.mark.parametrize(
    ("baseline", "shepherd", "relative"),
    [
        *((142.2, 130.7, 0.919), (114.0, 131.7, 1.155), (120.0, 131.0, 1.092)),
        *((116.1, 129.0, 1.111), (121.3, 131.8, 1.087)),
    ],
)
def test_fedits_table_3(make_study: MakeStudy, baseline: float, shepherd: float, relative: float) -> None:
    pair = (baseline / 20, shepherd / 20)
    asked: Ratings = {f"q{k}": ([pair] * 3, [pair] * 3) for k in range(20)}
    model = _only(judge_results(make_study(list(_judgements(asked))), "gpt"))
    assert (model.model_sum, model.reference_sum) == pytest.approx((baseline, shepherd))
    assert round(model.reference_over_model.estimate, 3) == relative
    assert not model.inside_noise  # every question says the same


def test_verdicts_need_both_orders_and_more_than_half_of_the_ratings(make_study: MakeStudy) -> None:
    results = judge_results(make_study(list(_judgements(HAND, form="verdict"))), "gpt", form="verdict")
    model = _only(results)
    # q1: a win and a tie of two is no majority, a win in the other order; q2: a loss and a win; q3: a loss.
    assert (model.wins, model.ties, model.losses) == (0, 2, 1)
    assert model.win_rate.estimate == pytest.approx(1 / 3)
    assert math.isnan(model.model_sum)
    assert math.isnan(model.reference_over_model.estimate)
    assert not model.has_scores
    # First less second: q1 +0.5 and -1, q2 -1 and -1.
    assert model.position_bias is not None
    assert model.position_bias.estimate == pytest.approx((-0.25 - 1) / 2)
    assert model.by_category == {"odd": (0.25, 0.75), "even": (0.5, 0.5)}


def test_single_grades_alone_and_beside_another_models(make_study: MakeStudy) -> None:
    graded = {"q1": ([(8, 0), (6, 0)], []), "q2": ([(4, 0), None], []), "q3": ([(9, 0), (9, 0)], [])}
    others = {"q1": ([(5, 0), (5, 0)], []), "q2": ([(6, 0), (7, 0)], [])}
    said = [*_judgements(graded, "m", "", "single"), *_judgements(others, "r", "", "single")]
    study = make_study(said)
    alone = judge_results(study, "gpt", form="single")
    assert [model.label for model in alone.models] == ["m", "r"]
    model = alone.models[0]
    assert (model.model_sum, model.questions, model.mean.estimate) == (20, 3, pytest.approx(20 / 3))
    assert math.isnan(model.reference_sum)
    assert math.isnan(model.win_rate.estimate)
    assert (model.position_bias, model.self_agreement, model.inside_noise) == (None, None, False)
    # Beside r, q3 is left out; on q2 the second grade has no counterpart.
    beside = _only(judge_results(study, "gpt", "r", form="single"))
    assert (beside.questions, beside.model_sum, beside.reference_sum) == (2, 11, 11)
    assert (beside.wins, beside.ties, beside.losses) == (1, 0, 1)
    assert beside.difference.estimate == 0


def _random_ratings(questions: int = 12, seed: int = 0, lead: float = 0.0) -> Ratings:
    scores = np.random.default_rng(seed).integers(1, 11, size=(questions, 2, 3, 2)).astype(float)
    scores[..., 0] = np.clip(scores[..., 0] + lead, 1, 10)
    return {
        f"q{k}": ([(a, b) for a, b in first], [(a, b) for a, b in second])
        for k, (first, second) in enumerate(scores.tolist())
    }


def test_swapping_the_two_turns_every_figure_round(make_study: MakeStudy) -> None:
    ratings = _random_ratings()
    turned: Ratings = {
        name: ([p and p[::-1] for p in second], [p and p[::-1] for p in first])
        for name, (first, second) in ratings.items()
    }
    study = make_study([*_judgements(ratings), *_judgements(turned, "r", "m")])
    one, other = (_only(judge_results(study, "gpt", reference)) for reference in ("r", "m"))
    assert one.reference_over_model.estimate == pytest.approx(other.model_over_reference.estimate)
    assert one.reference_over_model.low == pytest.approx(other.model_over_reference.low, abs=0.02)
    assert one.win_rate.estimate == pytest.approx(1 - other.win_rate.estimate)
    assert (one.wins, one.ties, one.losses) == (other.losses, other.ties, other.wins)
    assert one.position_bias is not None
    assert other.position_bias is not None
    assert one.position_bias.estimate == pytest.approx(other.position_bias.estimate)


def test_the_order_of_lines_and_seeds_move_no_estimate(make_study: MakeStudy) -> None:
    said = list(_judgements(_random_ratings()))
    study = make_study(said)
    one = _only(judge_results(study, "gpt"))
    again = _only(judge_results(study, "gpt", seed=5))
    study.write_judgements("gpt", said[::-1])
    backwards = _only(judge_results(study, "gpt"))
    assert backwards == one
    assert again.reference_over_model.estimate == one.reference_over_model.estimate
    assert again.reference_over_model.low != one.reference_over_model.low


def test_equal_scores_are_ties_and_inside_the_noise(make_study: MakeStudy) -> None:
    model = _only(
        judge_results(make_study(list(_judgements({f"q{k}": ([(7, 7)], [(6, 6)]) for k in range(9)}))), "gpt")
    )
    assert model.reference_over_model.estimate == model.reference_over_model.low == 1
    assert (model.ties, model.win_rate.estimate, model.inside_noise) == (9, 0.5, True)


def test_scores_a_tenth_apart_are_a_tie(make_study: MakeStudy) -> None:
    close: Ratings = {"q1": ([(8.1, 8)], [(8.1, 8)]), "q2": ([(8.2, 8)], [(8.2, 8)])}
    model = _only(judge_results(make_study(list(_judgements(close))), "gpt"))
    assert (model.wins, model.ties) == (1, 1)


def test_notes_say_what_a_reader_must_know(make_study: MakeStudy) -> None:
    study = make_study(list(_judgements(HAND)), bases={"m": "lamb", "r": "ram"}, questions=5)
    notes = " ".join(judge_results(study, "gpt").notes)
    for words in (
        "3 questions are few (FedIT asked 20): chance alone makes so few agree",
        "Not all of the 5 questions count, and sums are over those that do: m 3.",
        "3 of 12 ratings could not be read and do not count: m 3.",
        "with one order only, as the other was not asked or could not be read: m 1.",
        "being shown first is worth -2.00 points",
        "No length-controlled win rate of m, because fewer than 10 questions",
        "different base models (lamb, ram)",
    ):
        assert words in notes
    said = judge_results(study, "gpt", count=1).notes
    assert said[0] == "1 question is few (FedIT asked 20)."


def test_how_wide_the_noise_is_goes_by_the_widest_interval(make_study: MakeStudy) -> None:
    study = make_study([*_judgements(_random_ratings()), *_judgements(_random_ratings(), form="verdict")])
    scores, verdicts = (judge_results(study, "gpt", form=form) for form in ("scores", "verdict"))
    relative, rate = _only(scores).model_over_reference, _only(verdicts).win_rate
    assert f"a relative score within about {relative.half_width:.3f} of 1 is noise" in scores.notes[0]
    assert f"within about {100 * rate.half_width:.0f} points of 50 % is noise" in verdicts.notes[0]


@pytest.mark.parametrize("form", ["scores", "verdict"])
def test_five_questions_tell_nothing_even_if_all_agree(make_study: MakeStudy, form: Form) -> None:
    won: Ratings = {f"q{k}": ([(9, 3)], [(9, 3)]) for k in range(6)}
    study = make_study(list(_judgements(won, form=form)))
    assert not _only(judge_results(study, "gpt", form=form)).inside_noise
    five = judge_results(study, "gpt", form=form, count=5)
    assert _only(five).inside_noise
    assert "chance alone" in five.notes[0]


def test_one_order_throughout_is_said(make_study: MakeStudy) -> None:
    once: Ratings = {"q1": ([(8, 6)], []), "q2": ([(5, 6)], [])}
    results = judge_results(make_study(list(_judgements(once))), "gpt")
    assert any("shown in one order only" in note for note in results.notes)
    model = _only(results)
    assert (model.position_bias, model.swap_consistency, model.self_agreement) == (None, None, None)
    assert (model.wins, model.losses) == (1, 1)


def test_many_questions_are_not_called_few(make_study: MakeStudy) -> None:
    many: Ratings = {f"q{k}": ([(8, 6)], [(8, 6)]) for k in range(300)}
    assert not any(
        "few" in note.split(" (")[0]
        for note in judge_results(make_study(list(_judgements(many))), "gpt").notes
    )


def test_length_is_controlled_for_and_pointed_out(make_study: MakeStudy) -> None:
    # The longer answer always wins, and the model's is longer on three questions of four.
    longer = [k % 4 != 0 for k in range(40)]
    ratings: Ratings = {
        f"q{k}": ([(8, 6) if up else (6, 8)], [(8, 6) if up else (6, 8)]) for k, up in enumerate(longer)
    }
    words = {"m": [40 + (20 if up else -20) + k % 3 for k, up in enumerate(longer)], "r": [40] * 40}
    results = judge_results(make_study(list(_judgements(ratings)), words), "gpt")
    model = _only(results)
    assert model.win_rate.estimate == 0.75
    assert model.length_controlled is not None
    assert model.length_controlled.estimate == pytest.approx(0.5, abs=0.13)  # two clusters leave some doubt
    assert any("m wins 75 %, and would win" in note and "longer" in note for note in results.notes)
    assert model.by_question["q0"].characters == 20 * 5 - 1


def test_several_models_help_to_tell_hard_questions(make_study: MakeStudy) -> None:
    words = {label: [5 + 7 * (place + 1) * k % 11 for k in range(12)] for place, label in enumerate("abcr")}
    said = []
    for seed, label in enumerate("abc"):
        once = {name: (first, first) for name, (first, _) in _random_ratings(seed=seed).items()}
        said += list(_judgements(once, label))
    results = judge_results(make_study(said, words), "gpt", models=["c", "runs/a", "c"])
    assert [model.label for model in results.models] == ["c", "a"]
    results = judge_results(make_study(said, words), "gpt")
    assert [model.label for model in results.models] == ["a", "b", "c"]
    assert all(model.length_controlled is not None for model in results.models)


def test_a_model_with_nothing_readable_is_in_no_table(make_study: MakeStudy) -> None:
    unread = _judgements({"q1": ([None], [None]), "q2": ([None], [])}, "silent")
    results = judge_results(make_study([*_judgements(HAND), *unread]), "gpt")
    assert [model.label for model in results.models] == ["m"]
    notes = " ".join(results.notes)
    assert "No figures of silent: the judge gave no reply on them that could be read." in notes
    assert "do not count: m 3, silent 3." in notes


def test_a_reference_graded_alone_leaves_nobody(make_study: MakeStudy) -> None:
    study = make_study(list(_judgements({"q1": ([(8, 0)], [])}, "r", "", "single")))
    assert judge_results(study, "gpt", "r", form="single").models == []


def test_what_cannot_be_computed_is_refused(make_study: MakeStudy) -> None:
    ratings = _random_ratings(2)
    study = make_study([*_judgements(ratings), *_judgements(ratings, "m", "other")])
    with pytest.raises(ShepherdError, match="has judged against r, other; say which with --against"):
        judge_results(study, "gpt")
    with pytest.raises(ShepherdError, match=r"no judge 'gtp'; did you mean 'gpt'"):
        judge_results(study, "gtp", "r")
    with pytest.raises(ShepherdError, match="no judgements in the form 'verdict'"):
        judge_results(study, "gpt", "r", form="verdict")
    with pytest.raises(ShepherdError, match="judged nothing against 'm'"):
        judge_results(study, "gpt", "m")
    with pytest.raises(ShepherdError, match="Nothing against r is judged of 'other'"):
        judge_results(study, "gpt", "r", models=["other"])
    with pytest.raises(ShepherdError, match="no answers of 'nobody'"):
        judge_results(study, "gpt", "r", models=["nobody"])
    for count in (0, 3):
        with pytest.raises(ShepherdError, match="choose 1 to 2"):
            judge_results(study, "gpt", "r", count=count)
