"""People against the judge and one another: from sheets and judgements to figures, by hand and by other libraries."""

from __future__ import annotations

import io
import math
from itertools import combinations
from typing import Any

import pytest
from rated_study import answer
from rich.console import Console
from scipy.stats import kendalltau, spearmanr
from sklearn.metrics import cohen_kappa_score

from shepherd.errors import ShepherdError
from shepherd.files import write_json
from shepherd.judge.judgement import Judgement
from shepherd.people.comparison import Agreement, agreement
from shepherd.people.items import Item
from shepherd.report.people_tables import agreement_tables
from shepherd.statistics.agreement import Figure
from shepherd.study.directory import Study

# What the people and the judge think of each question's answers: (model, reference).
ANNA = {"q0": (8, 5), "q1": (3, 9), "q2": (6, 6), "q3": (7, 2), "q4": (1, 4), "q5": (10, 9)}
BEN = {"q0": (7, 6), "q1": (5, 5), "q2": (4, 7), "q3": (9, 1), "q4": (2, 3), "q5": (8, 8)}
JUDGE = {"q0": (9, 6), "q1": (4, 8), "q2": (7, 5), "q3": (5, 5), "q4": (2, 2), "q5": (6, 9)}


def _judgement(question: str, swapped: bool, rating: int, **values: Any) -> Judgement:
    about = {"form": "scores", "model": "federated", "reference": "chatgpt", "score": None}
    about |= {"reference_score": None, "winner": None, "readable": True, "reason": "", "reply": ""}
    return Judgement(question=question, swapped=swapped, rating=rating, **(about | values))


def _judge(study: Study, name: str, judgements: list[Judgement]) -> None:
    write_json(study.judge_path(name) / "settings.json", {"model": name})
    study.write_judgements(name, judgements)


def _scored(question: str, swapped: bool, rating: int, score: float, other: float) -> Judgement:
    winner = "model" if score > other else "reference" if score < other else "tie"
    return _judgement(question, swapped, rating, score=score, reference_score=other, winner=winner)


@pytest.fixture
def judged(study: Study) -> Study:
    """The study with a judge whose ratings, two in each order, have the means of `JUDGE`."""
    shifts = [(-1.0, 0.5), (1.0, -0.5)]
    _judge(
        study,
        "judge",
        [
            _scored(question, swapped, rating, score + up, other + side)
            for question, (score, other) in JUDGE.items()
            for swapped in (False, True)
            for rating, (up, side) in enumerate(shifts)
        ],
    )
    return study


def _says(scores: dict[str, tuple[float, float]]) -> Any:
    def call(item: Item) -> tuple[float | None, ...]:
        given = dict(zip((item.model, item.reference), scores.get(item.question, (None, None)), strict=True))
        return tuple(given[label] for label in item.labels)

    return call


def _estimates(line: Agreement) -> list[float | None]:
    figures = (line.spearman, line.kendall, line.weighted_kappa, line.kappa, line.accuracy)
    return [figure.interval.estimate if figure.interval else None for figure in figures]


def _expected(
    one: dict[str, tuple[float, float]], other: dict[str, tuple[float, float]], mutual: bool
) -> list[float]:
    first, second = ([score for q in sorted(one) for score in who[q]] for who in (one, other))
    signs = [[(a > b) - (a < b) for a, b in map(who.get, sorted(one))] for who in (one, other)]  # type: ignore[misc]
    credit = [1 - abs(a - b) / 2 for a, b in zip(*signs, strict=True)]
    weights = [(a != 0) + mutual * (b != 0) for a, b in zip(*signs, strict=True)]
    return [
        spearmanr(first, second).statistic,
        kendalltau(first, second).statistic,
        cohen_kappa_score(first, second, weights="quadratic", labels=range(1, 11)),
        cohen_kappa_score(*signs),
        sum(c * w for c, w in zip(credit, weights, strict=True)) / sum(weights),
    ]


def test_people_and_judge(judged: Study, rate: Any) -> None:
    rate("anna", _says(ANNA), ("federated",))
    rate("ben", _says(BEN), ("federated",))
    found = agreement(judged)
    assert [line.label for line in found.with_judges] == [
        "anna – judge", "ben – judge", "mean – judge", "people together – judge",
    ]  # fmt: skip
    anna, ben, mean, together = found.with_judges
    assert _estimates(anna) == pytest.approx(_expected(ANNA, JUDGE, mutual=False))
    assert _estimates(ben) == pytest.approx(_expected(BEN, JUDGE, mutual=False))
    halves = [(a + b) / 2 for a, b in zip(_estimates(anna), _estimates(ben), strict=True)]  # type: ignore[operator]
    assert _estimates(mean) == pytest.approx(halves)
    both = [(a + b) / 2 for q in ANNA for a, b in zip(ANNA[q], BEN[q], strict=True)]
    judge = [score for q in ANNA for score in JUDGE[q]]
    assert _estimates(together)[0] == pytest.approx(spearmanr(both, judge).statistic)
    assert (anna.spearman.count, anna.kappa.count, anna.accuracy.count) == (12, 6, 5)
    assert (mean.spearman.count, mean.accuracy.count) == (24, 9)
    assert found.notes == []


def test_accuracy_by_hand(judged: Study, rate: Any) -> None:
    # Anna decides q0 q1 q3 q4 q5: the judge is right, right, ties, ties, is wrong.
    rate("anna", _says(ANNA), ("federated",))
    (line,) = agreement(judged).with_judges
    assert _estimates(line)[4] == (1 + 1 + 0.5 + 0.5 + 0) / 5


def test_people_and_people_on_what_both_rated(judged: Study, rate: Any) -> None:
    few = {q: BEN[q] for q in ("q0", "q1", "q2", "q3", "q4")}
    rate("anna", _says(ANNA), ("federated",))
    rate("ben", _says(few), ("federated",))
    (line,) = agreement(judged).between_people
    assert line.label == "anna – ben"
    assert line.spearman.count == 10
    assert _estimates(line) == pytest.approx(_expected({q: ANNA[q] for q in few}, few, mutual=True))
    rate("carla", _says(JUDGE), ("federated",))
    between = agreement(judged).between_people
    assert [line.label for line in between] == ["anna – ben", "anna – carla", "ben – carla", "mean – people"]
    for place, mean in enumerate(_estimates(between[3])):
        assert mean == pytest.approx(sum(_estimates(line)[place] for line in between[:3]) / 3)  # type: ignore[misc]


def test_answers_alone_make_preferences_between_models(study: Study, rate: Any) -> None:
    scores = {"alone/client-03": 4, "federated": 6, "chatgpt": 6}
    grades = {"alone/client-03": 5, "federated": 3, "chatgpt": 7}
    rate("anna", lambda item: (scores[item.model],), reference="")
    _judge(
        study,
        "judge",
        [
            _judgement(f"q{n}", False, 0, form="single", model=model, reference="", score=grade)
            for n in range(6)
            for model, grade in grades.items()
        ],
    )
    (line,) = agreement(study).with_judges
    assert line.spearman.count == 18
    # On every question anna decides alone-federated (judge: wrong) and alone-chatgpt (right), and ties the third.
    assert (line.kappa.count, line.accuracy.count) == (18, 12)
    assert _estimates(line)[4] == 0.5
    ours, theirs = ([who[m] for m in grades] * 6 for who in (scores, grades))
    assert _estimates(line)[0] == pytest.approx(spearmanr(ours, theirs).statistic)
    pairs = list(combinations(sorted(grades), 2))
    signs = [[(who[a] > who[b]) - (who[a] < who[b]) for a, b in pairs] * 6 for who in (scores, grades)]
    assert _estimates(line)[3] == pytest.approx(cohen_kappa_score(*signs))


@pytest.mark.parametrize("reference", ["chatgpt", "alone/client-03"])
def test_verdicts_have_preferences_only_and_a_win_needs_both_orders(
    study: Study, rate: Any, reference: str
) -> None:
    # Both orders of the labels' alphabet, since preferences are kept in that order.
    rate("anna", _says(ANNA), ("federated",), reference)
    verdicts = {"q0": ("model", "model"), "q1": ("model", "reference"), "q3": ("reference", "reference")}
    _judge(
        study,
        "judge",
        [
            _judgement(q, swapped, 0, form="verdict", winner=winner, reference=reference)
            for q, winners in verdicts.items()
            for swapped, winner in zip((False, True), winners, strict=True)
        ],
    )
    (line,) = agreement(study).with_judges
    assert line.spearman == Figure(0, None)
    assert _estimates(line)[4] == (1 + 0.5 + 0) / 3


def test_a_judge_asked_in_two_forms_has_two_voices(judged: Study, rate: Any) -> None:
    rate("anna", _says(ANNA), ("federated",))
    verdicts = [_judgement("q0", False, 0, form="verdict", winner="model")]
    judged.write_judgements("judge", [*judged.judgements("judge"), *verdicts])
    lines = [line.label for line in agreement(judged).with_judges]
    assert lines == ["anna – judge (scores)", "anna – judge (verdict)"]


def test_unreadable_replies_say_nothing(judged: Study, rate: Any) -> None:
    rate("anna", _says(ANNA), ("federated",))
    before = agreement(judged).with_judges
    lost = [_judgement("q0", swapped, 2, readable=False) for swapped in (False, True)]
    judged.write_judgements("judge", [*judged.judgements("judge"), *lost])
    assert agreement(judged).with_judges == before


def test_a_person_who_says_the_same_of_everything(judged: Study, rate: Any) -> None:
    rate("anna", _says(dict.fromkeys(ANNA, (5, 5))), ("federated",))
    (line,) = agreement(judged).with_judges
    assert line.spearman.interval is None
    assert line.kendall.interval is None
    assert line.weighted_kappa.interval is not None
    assert line.weighted_kappa.interval.estimate == pytest.approx(0)
    assert line.accuracy == Figure(0, None)
    assert any("–" in row for row in _printed(agreement(judged)) if "anna – judge" in row)


def test_what_cannot_be_compared_is_said(study: Study, rate: Any) -> None:
    with pytest.raises(ShepherdError, match="no finished ratings of people yet; begin with: shepherd rate"):
        agreement(study)
    rate("anna", _says(ANNA), ("federated",))
    found = agreement(study)
    assert found.with_judges == found.between_people == []
    assert [note.split()[0] for note in found.notes] == ["No", "No"]
    with pytest.raises(ShepherdError, match="no judge 'gpt'"):
        agreement(study, "gpt")
    rate("ben", _says(BEN), ("alone/client-03",))
    assert agreement(study).between_people == []
    answer(study, "federated", {f"q{n}": "anew" for n in range(6)})
    assert agreement(study).notes[0].startswith("6 ratings are of answers that a model has since given anew")


def _printed(found: Any) -> list[str]:
    console = Console(width=100, file=io.StringIO(), record=True)
    for table in agreement_tables(found):
        console.print(table)
    return console.export_text().splitlines()


def test_the_tables_fit_a_terminal(judged: Study, rate: Any) -> None:
    rate("anna", _says(ANNA), ("federated",))
    rate("ben", _says(BEN))
    lines = _printed(agreement(judged))
    assert max(map(len, lines)) <= 100
    said = [line.split() for line in lines]
    assert ["federated", "/", "chatgpt", "2", "12", "5.83", "5.42", "5", "3", "4"] in said
    titles = [line.strip() for line in lines if line.startswith(("What", "People"))]
    assert titles == [
        "What people said",
        "People and judge: scores",
        "People and judge: preferences",
        "People and people: scores",
        "People and people: preferences",
    ]
    (line,) = [line for line in lines if line.strip().startswith("anna – judge") and " 12 " in line]
    assert f"{_expected(ANNA, JUDGE, mutual=False)[0]:.2f} (" in line


def test_figures_repeat_and_lie_inside_their_intervals(judged: Study, rate: Any) -> None:
    rate("anna", _says(ANNA), ("federated",))
    found = agreement(judged, "judge")
    assert found == agreement(judged)
    for figure in (found.with_judges[0].spearman, found.with_judges[0].accuracy):
        assert figure.interval is not None
        assert figure.interval.low <= figure.interval.estimate <= figure.interval.high
        assert not math.isnan(figure.interval.low)
