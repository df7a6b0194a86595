from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shepherd.data.heterogeneity import Heterogeneity
from shepherd.errors import ShepherdError
from shepherd.evaluation.group_scores import by_group
from shepherd.evaluation.groups import SEEN, UNSEEN, allocation, columns_to_group_by, group
from shepherd.evaluation.measured import Measured
from shepherd.evaluation.scores import ModelScores, Scores
from shepherd.study.answers import Answer
from shepherd.study.directory import Study
from shepherd.study.questions import Question


def made(
    categories: list[str], values: list[float], metric: str = "rouge_l", weights: object = None
) -> Scores:
    questions = [Question(str(i), c, "?", fields={"task": f"t{i % 2}"}) for i, c in enumerate(categories)]
    counted = np.ones(len(values)) if weights is None else np.array(weights, dtype=float)
    measured = {metric: Measured(np.array(values, dtype=float), counted)}
    return Scores(questions, [ModelScores("m", measured, np.ones(len(values)), np.zeros(len(values)))])


def dealt(counts: dict[str, dict[str, int]]) -> Heterogeneity:
    categories = sorted({category for held in counts.values() for category in held})
    table = np.array([[held.get(category, 0) for category in categories] for held in counts.values()])
    return Heterogeneity(list(counts), categories, table, len(counts))


def test_groups_by_hand() -> None:
    scores = made(["x", "x", "y", "y", "z"], [0.0, 1.0, 0.2, 0.4, 0.9])
    (found,) = by_group(scores, group(scores.questions, "category"), "rouge_l")
    assert {name: interval.estimate for name, interval in found.groups.items()} == pytest.approx(
        {"x": 0.5, "y": 0.3, "z": 0.9}
    )
    assert (found.worst, found.best) == ("y", "z")
    assert found.questions == {"x": 2, "y": 2, "z": 1}
    assert found.average.estimate == pytest.approx(1.7 / 3)
    assert found.spread.estimate == pytest.approx(0.6)
    assert found.deviation.estimate == pytest.approx(np.std([0.5, 0.3, 0.9]))
    assert found.worst_tenth.estimate == pytest.approx(0.3)
    assert math.isnan(found.groups["z"].low)  # one question says nothing of a spread


def test_of_the_loss_the_highest_is_the_worst_and_tokens_count() -> None:
    scores = made(["x", "x", "y", "y"], [1.0, 2.0, 3.0, 3.0], "loss", [3, 1, 1, 1])
    (found,) = by_group(scores, group(scores.questions, "category"), "loss")
    assert found.groups["x"].estimate == pytest.approx(5 / 4)
    assert (found.worst, found.best) == ("y", "x")
    assert found.worst_tenth.estimate == pytest.approx(3.0)


def test_a_client_is_the_mean_over_its_own_mix() -> None:
    scores = made(["x", "x", "y", "y"], [0.0, 0.2, 0.6, 1.0])
    clients = dealt({"a": {"x": 9}, "b": {"x": 1, "y": 3}, "c": {"y": 1, "other": 9}, "d": {"other": 5}})
    grouping = group(scores.questions, "client", clients)
    (found,) = by_group(scores, grouping, "rouge_l")
    assert {name: i.estimate for name, i in found.groups.items()} == pytest.approx(
        {"a": 0.1, "b": 0.625, "c": 0.8}
    )
    assert grouping.notes[0].startswith("1 clients hold no category")
    assert "Of 1 clients the questions cover a part of the examples, 10%" in grouping.notes[1]


def test_seen_is_what_was_trained_on_by_category_or_by_task() -> None:
    scores = made(["x", "x", "new", "new"], [1.0, 1.0, 0.0, 0.5])
    (found,) = by_group(scores, group(scores.questions, "seen", dealt({"a": {"x": 1}})), "rouge_l")
    assert {name: i.estimate for name, i in found.groups.items()} == pytest.approx({SEEN: 1.0, UNSEEN: 0.25})
    (found,) = by_group(scores, group(scores.questions, "seen", dealt({"a": {"t1": 1}})), "rouge_l")
    assert {name: i.estimate for name, i in found.groups.items()} == pytest.approx({SEEN: 0.75, UNSEEN: 0.5})


def test_a_report_groups_by_columns_that_say_more_than_the_category() -> None:
    def fields(i: int) -> dict[str, object]:
        few = {"language": ["de", "en"][i % 2], "sprache": ["deutsch", "english"][i % 2], "seen": i % 2 == 0}
        return {
            **few,
            "kind": f"of {i // 5}",
            "id": f"n{i}",
            "length": i % 3 + 0.5,
            "one": "same",
            "tags": [i % 2],
        }

    questions = [Question(str(i), f"category {i // 5}", "?", fields=fields(i)) for i in range(20)]
    assert columns_to_group_by(questions) == ["language"]
    assert columns_to_group_by([*questions, Question("21", "category 0", "?")]) == ["kind", "language"]
    assert columns_to_group_by(questions, most=1) == columns_to_group_by([]) == []


@given(
    st.lists(st.tuples(st.sampled_from("wxyz"), st.floats(0, 1), st.integers(1, 9)), min_size=1, max_size=12),
    st.integers(0, 3),
)
def test_any_client_agrees_with_adding_up(rows: list[tuple[str, float, int]], held: int) -> None:
    scores = made([c for c, _, _ in rows], [v for _, v, _ in rows], "loss", [w for _, _, w in rows])
    mix = {"w": 1, "x": 2, "y": 3, "zz"[: 1 + held % 2]: 4}
    present = {c: n for c, n in mix.items() if c in {c for c, _, _ in rows}}
    if not present:
        return
    (found,) = by_group(scores, group(scores.questions, "client", dealt({"a": mix})), "loss")
    means = {
        c: sum(v * w for k, v, w in rows if k == c) / sum(w for k, _, w in rows if k == c) for c in present
    }
    expected = sum(n * means[c] for c, n in present.items()) / sum(present.values())
    assert found.groups["a"].estimate == pytest.approx(expected, abs=1e-12)


def test_intervals_are_those_of_independent_groups() -> None:
    draws = np.random.default_rng(1)
    values = np.concatenate([draws.normal(0.3, 0.1, 200), draws.normal(0.7, 0.1, 200)])
    scores = made(["x"] * 200 + ["y"] * 200, list(values))
    (found,) = by_group(scores, group(scores.questions, "category"), "rouge_l")
    error = math.sqrt(values[:200].var() / 200 + values[200:].var() / 200)
    assert found.spread.half_width == pytest.approx(1.96 * error, rel=0.06)  # the difference of two means


def test_questions_that_say_nothing_are_left_out_and_counted() -> None:
    questions = [Question("a", "x", "?", fields={"language": "English"}), Question("b", "x", "?")]
    grouping = group(questions, "language")
    assert grouping.cell_of.tolist() == [0, -1]
    assert grouping.notes == ["1 questions say nothing of language and are in no group."]
    with pytest.raises(ShepherdError, match="did you mean 'language'"):
        group(questions, "languag")
    with pytest.raises(ShepherdError, match="name the run with --run"):
        group(questions, "client")
    with pytest.raises(ShepherdError, match="No client trained on a category"):
        group(questions, "client", dealt({"a": {"other": 1}}))


def test_the_allocation_is_the_models_runs(tmp_path: Path, make_study: Callable[..., Study]) -> None:
    run = tmp_path / "runs" / "fed"
    study = make_study(
        [Question("a", "x", "?")],
        {"m": [Answer("a", "")]},
        kind="run",
        source=str(run / "baselines" / "alone"),
    )
    with pytest.raises(ShepherdError, match=r"allocation.json cannot be read"):
        allocation(study, ["m"])
    run.mkdir(parents=True)
    (run / "allocation.json").write_text(json.dumps(dealt({"a": {"x": 2}}).to_dict()))
    assert allocation(study, ["m"]).names == ["a"]
    (tmp_path / "allocation.json").write_text("{")
    with pytest.raises(ShepherdError, match="is damaged"):
        allocation(study, ["m"], tmp_path)
    with pytest.raises(ShepherdError, match="come from 0 runs"):
        allocation(study, [])
