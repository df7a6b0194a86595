from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest

from shepherd.errors import ShepherdError
from shepherd.evaluation.group_scores import by_group, corrected
from shepherd.evaluation.groups import group
from shepherd.evaluation.measured import Measured
from shepherd.evaluation.scores import ModelScores, Scores
from shepherd.report.intervals import NOISE, difference_text, noise_note
from shepherd.report.latex import latex
from shepherd.report.score_figures import write_group_figure
from shepherd.report.score_tables import (
    difference_table,
    group_table,
    overall_table,
    to_csv,
)
from shepherd.report.table_files import Document
from shepherd.report.tables import markdown
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
    assert ") | +3.0 |" in text
    assert "≈ (-" in text  # up and down cancel: the mean of all is inside the noise
    assert "| base |" not in text


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(0.25, 0.15, 0.45), "+0.250 (+0.150 to +0.450)"),
        (Interval(-0.25, -0.35, -0.15), "-0.250 (-0.350 to -0.150)"),
        (Interval(0.05, -0.05, 0.15), "+0.050 ≈ (-0.050 to +0.150)"),
        (Interval(0.25, 0.15, 0.45, p_value=0.06), "+0.250 ≈ (+0.150 to +0.450)"),
        (Interval(0.05, math.nan, math.nan), "+0.050 ≈"),
        (UNKNOWN, "–"),
    ],
)
def test_a_difference_inside_the_noise_has_its_sign(interval: Interval, text: str) -> None:
    assert " ".join(difference_text(interval).split()) == text


def test_the_ends_of_a_difference_stand_in_every_form(scores: Scores) -> None:
    (tuned,) = scores.against("base").models
    span = tuned.measured["rouge_l"].interval()
    ends = f"{span.estimate:+z.3f} ≈ ({span.low:+.3f} to {span.high:+.3f})"
    table = difference_table(scores, "base", note="base is the untuned base.")
    document = Document("Scores", [table], to_csv(scores, against="base"))
    assert ends in document.written("markdown")
    assert ends.replace("≈", r"$\approx$").replace("-", "$-$") in latex([table])
    assert all(part in document.written("html") for part in ends.split("≈ "))
    text = document.written("table")
    assert all(part.strip() in text for part in ends.split("≈ "))
    line = next(x for x in csv.DictReader(io.StringIO(document.written("csv"))) if x["against"])
    assert (float(line["low"]), float(line["high"])) == (span.low, span.high)
    assert "base is the untuned base." in document.written("markdown")


def _rejected(p_values: list[float]) -> list[bool]:
    """Holm by its definition: the smallest against 0.05 / m, the next against 0.05 / (m - 1), until one fails."""
    rejected = [False] * len(p_values)
    while not all(rejected):
        left = [(p, place) for place, p in enumerate(p_values) if not rejected[place]]
        p, place = min(left)
        if p >= 0.05 / len(left):
            break
        rejected[place] = True
    return rejected


def test_signs_are_corrected_for_how_many_a_table_holds() -> None:
    draws, questions = np.random.default_rng(3), [Question(str(i), "abcd"[i % 4], "?") for i in range(48)]
    shifts = (0.0, 0.01, 0.04, 0.05, 0.06, 0.08, 0.1)
    models = [
        ModelScores(
            f"m{place}",
            {"rouge_l": Measured(draws.normal(0.5 + shift, 0.1, 48), np.ones(48))},
            np.ones(48),
            np.zeros(48),
        )
        for place, shift in enumerate(shifts)
    ]
    scores = Scores(questions, models)
    spans = [model.measured["rouge_l"].interval() for model in scores.against("m0").models]
    expected = _rejected([span.p_value for span in spans])
    table = difference_table(scores, "m0")
    assert [NOISE not in str(cell) for cell in table.columns[1].cells] == expected
    assert any(expected)
    assert not all(expected)
    assert "corrected for 6 comparisons by Holm's step-down" in str(table.caption)
    grouped = by_group(scores.against("m0"), group(questions, "category"), "rouge_l")
    family = [interval for model in grouped for interval in model.compared]
    assert len(family) == 6 * 5
    assert sum(not interval.is_noise for interval in family) > sum(_rejected([i.p_value for i in family]))
    shown = corrected(grouped)
    outside = [not interval.is_noise for model in shown for interval in model.compared]
    assert outside == _rejected([interval.p_value for interval in family])
    lines = list(csv.DictReader(io.StringIO(to_csv(scores, group(questions, "category"), "m0"))))
    told = [line for line in lines if line["against"] and line["group"] in ("a", "b", "c", "d", "[average]")]
    assert [float(line["p_holm"]) < 0.05 for line in told] == outside
    assert all(line["p"] == "" for line in lines if not line["against"])


def test_the_note_says_where_draws_cannot_tell_so_many_apart() -> None:
    one = Interval(0.2, 0.1, 0.3, p_value=0.0002)
    assert noise_note([one]) == "≈: inside the noise."
    assert "cannot" not in noise_note([one] * 249)
    assert "250 comparisons" in noise_note([one] * 250)
    assert noise_note([one] * 251).endswith("They are more than 10,000 draws can tell apart.")


@pytest.mark.parametrize(
    ("groups", "each", "said"),
    [
        (21, 10, "There are 21 groups: which"),
        (20, 10, None),
        (3, 9, "There are 3 groups, 3 of them with fewer than 10 questions: which"),
    ],
)
def test_many_or_tiny_groups_are_pointed_out(groups: int, each: int, said: str | None) -> None:
    values = np.linspace(0.2, 0.8, groups * each)
    questions = [Question(str(i), f"g{i % groups}", "?") for i in range(groups * each)]
    model = ModelScores("m", {"rouge_l": Measured(values, np.ones(len(values)))}, values, values)
    caption = str(group_table(Scores(questions, [model]), group(questions, "category"), "rouge_l").caption)
    assert (said in caption) if said else ("There are" not in caption)


def test_groups_end_with_the_worst_and_the_spread(scores: Scores) -> None:
    grouping = group(scores.questions, "category")
    text = markdown(group_table(scores, grouping, "rouge_l"))
    assert "| up (20) |" in text
    assert "worst group" in text
    assert "down: " in text.split("worst group")[1].splitlines()[0]
    assert "spread (best − worst)" in text
    differences = markdown(group_table(scores, grouping, "rouge_l", "base"))
    assert "tuned is worse than base in 1 of 2 groups: down." in differences


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
