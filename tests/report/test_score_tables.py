from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest

from shepherd.errors import ShepherdError
from shepherd.evaluation.group_scores import by_group
from shepherd.evaluation.groups import group
from shepherd.evaluation.measured import Measured
from shepherd.evaluation.scores import ModelScores, Scores
from shepherd.report.comparison_table import markdown
from shepherd.report.score_figures import write_group_figure
from shepherd.report.score_tables import (
    difference_table,
    difference_text,
    group_table,
    overall_table,
    to_csv,
)
from shepherd.statistics.bootstrap import UNKNOWN, Interval
from shepherd.study.questions import Question


@pytest.fixture
def scores() -> Scores:
    """Two models; the second is better in the category "up" and worse in "down", beyond the noise."""
    names = ["up"] * 20 + ["down"] * 20
    questions = [Question(str(i), name, "?", references=["x"]) for i, name in enumerate(names)]
    noise = np.random.default_rng(0).normal(0, 0.01, 40)
    base = 0.5 + noise
    tuned = base + np.array([0.2] * 20 + [-0.2] * 20) + noise[::-1]

    def model(label: str, values: np.ndarray, words: float) -> ModelScores:
        measured = {"rouge_l": Measured(values, np.ones(40))}
        return ModelScores(label, measured, np.full(40, words), np.array([1.0, 0.0] * 20))

    return Scores(questions, [model("base", base, 5), model("tuned", tuned, 8)], ["A note."])


def test_the_overall_table_says_figures_lengths_and_notes(scores: Scores) -> None:
    text = markdown(overall_table(scores))
    values = scores.models[0].values("rouge_l")
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert f"| base | {values.mean():.3f} ±{half:.3f} |" in text.replace("**", "")
    assert "| 5.0 | 50.0 % |" in text
    assert "A note." in text


def test_differences_are_signed_and_marked(scores: Scores) -> None:
    text = markdown(difference_table(scores, "base"))
    assert "≈ | +3.0 |" in text  # up and down cancel: the mean of all is inside the noise
    assert "| base |" not in text


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(0.25, 0.15, 0.35), "+0.250 ±0.100"),
        (Interval(-0.25, -0.35, -0.15), "-0.250 ±0.100"),
        (Interval(0.05, -0.05, 0.15), "+0.050 ±0.100 ≈"),
        (Interval(0.05, math.nan, math.nan), "+0.050 ≈"),
        (UNKNOWN, "–"),
    ],
)
def test_a_difference_inside_the_noise_has_its_sign(interval: Interval, text: str) -> None:
    assert difference_text(interval) == text


def test_groups_end_with_the_worst_and_the_spread(scores: Scores) -> None:
    grouping = group(scores.questions, "category")
    text = markdown(group_table(scores, grouping, "rouge_l"))
    assert "| up (20) |" in text
    assert "worst group" in text
    assert "down: " in text.split("worst group")[1].splitlines()[0]
    assert "spread (best − worst)" in text
    differences = markdown(group_table(scores, grouping, "rouge_l", "base"))
    assert "tuned is worse than base in 1 of 2 groups: down." in differences
    assert "1 more models are in the CSV" in markdown(group_table(scores, grouping, "rouge_l", most=1))


def test_the_csv_has_every_figure_unrounded(scores: Scores) -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(scores, group(scores.questions, "category"), "base"))))
    overall = next(line for line in lines if line["model"] == "tuned" and not line["group"])
    assert float(overall["value"]) == scores.models[1].measured["rouge_l"].interval().estimate
    assert overall["questions"] == "40"
    assert {(line["group"], line["against"]) for line in lines} >= {
        ("up", ""),
        ("down", "base"),
        ("[spread]", ""),
    }


def test_the_picture_is_written_as_its_ending_says(scores: Scores, tmp_path: Path) -> None:
    found = by_group(scores, group(scores.questions, "category"), "rouge_l")
    write_group_figure(found, tmp_path / "groups.svg")
    assert "rouge" in (tmp_path / "groups.svg").read_text().lower()
    with pytest.raises(ShepherdError, match=r"\.png or \.svg"):
        write_group_figure(found, tmp_path / "groups.pdf")
