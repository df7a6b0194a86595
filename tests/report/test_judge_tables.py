"""A judge's results in tables: what stands in them, that they fit, and that the CSV keeps every digit."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from shepherd.judge.model_result import JudgeResults, ModelResult
from shepherd.report.judge_tables import NOISE, category_table, result_tables, to_csv
from shepherd.report.narrow import in_parts
from shepherd.statistics.bootstrap import UNKNOWN, Interval

CATEGORIES = {"closed_qa": (6.5, 7.0), "open_qa": (6.0, 5.5)}


def _model(label: str = "untuned", **figures: Any) -> ModelResult:
    relative = Interval(131.7 / 114.0, 1.02, 1.29)
    known: dict[str, Any] = {
        "label": label,
        "reference": "federated",
        "questions": 20,
        "ratings": 117,
        "unreadable": 3,
        "model_sum": 114.0,
        "reference_sum": 131.7,
        "reference_over_model": relative,
        "model_over_reference": relative.inverse,
        "wins": 4,
        "ties": 6,
        "losses": 10,
        "win_rate": Interval(0.35, 0.21, 0.5),
        "length_controlled": Interval(0.41, 0.25, 0.6),
        "words": 81.4,
        "reference_words": 66.2,
        "position_bias": Interval(0.4, 0.1, 0.7),
        "self_agreement": 0.75,
        "by_category": CATEGORIES,
        "inside_noise": False,
        "swap_consistency": 0.8,
        "mean": Interval(5.7, 5.1, 6.3),
    }
    return ModelResult(**{**known, **figures})


def _results(*models: ModelResult, form: Any = "scores", reference: str = "federated") -> JudgeResults:
    return JudgeResults("gpt-4o", form, reference, list(models), [], 20)


def _verdicts(**figures: Any) -> ModelResult:
    nothing = {"model_sum": math.nan, "reference_sum": math.nan, "mean": UNKNOWN}
    spans = {"reference_over_model": UNKNOWN, "model_over_reference": UNKNOWN}
    return _model(**{**nothing, **spans, "by_category": {"a": (0.25, 0.75), "b": (0.5, 0.5)}, **figures})


def _cells(table: Table, heading: str) -> list[str]:
    (column,) = (column for column in table.columns if str(column.header) == heading)
    return [str(cell) for cell in column.cells]


def test_table_3_says_sums_and_relative_scores() -> None:
    close = _model("centralised", model_sum=142.2, inside_noise=True)
    scores, wins, judge, categories = result_tables(_results(_model(), close))
    assert _cells(scores, "Sum") == ["114.0", "142.2"]
    assert _cells(scores, "Reference") == ["131.7", "131.7"]
    assert _cells(scores, "Reference / model")[0] == "1.155 (1.020–1.290)"
    assert _cells(scores, "Model / reference")[0] == "0.866 (0.775–0.980)"
    assert _cells(scores, "") == ["", NOISE]
    assert _cells(wins, "Win rate (%)")[0] == "35 (21–50)"
    assert _cells(wins, "At equal length (%)")[0] == "41 (25–60)"
    assert (_cells(wins, "Words")[0], _cells(wins, "Reference's")[0]) == ("81", "66")
    assert _cells(judge, "First place")[0] == "+0.40 (+0.10 to +0.70)"
    assert (_cells(judge, "Unreadable")[0], _cells(judge, "Orders agree")[0]) == ("3", "80.0 %")
    assert _cells(categories, "untuned") == ["-0.50", "+0.50"]
    assert "federated" in str(scores.caption)


def test_signs_of_several_models_are_corrected_together() -> None:
    models = [
        _model(f"m{place}", difference=Interval(-0.9, -1.5, -0.1, p_value=p))
        for place, p in enumerate((0.03, 0.001, 0.02))
    ]
    scores, *_ = result_tables(_results(*models))
    assert _cells(scores, "") == ["", "", ""]  # 0.03 is the last of three: it is not multiplied
    more = [*models, _model("m3", difference=Interval(-0.9, -1.5, 0.1, p_value=0.2))]
    scores, *_ = result_tables(_results(*more))
    assert _cells(scores, "") == [NOISE, "", NOISE, NOISE]
    assert "corrected for 4 models by Holm's step-down" in str(scores.caption)
    assert "Holm" not in str(result_tables(_results(models[0]))[0].caption)


@pytest.mark.parametrize(
    ("results", "tables"),
    [
        (_results(_verdicts(), form="verdict"), ["Wins", "The judge", "By category"]),
        (_results(_model(), form="single"), ["Scores", "Wins", "The judge", "By category"]),
        (_results(_model(by_category={}), form="single", reference=""), ["Grades", "The judge"]),
        (_results(), []),
    ],
)
def test_only_what_the_judge_was_asked_is_shown(results: JudgeResults, tables: list[str]) -> None:
    titles = [str(table.title) for table in result_tables(results)]
    assert len(titles) == len(tables)
    assert all(title.startswith(begin) for title, begin in zip(titles, tables, strict=True))


def test_verdicts_by_category_are_win_rates() -> None:
    assert _cells(category_table(_results(_verdicts(), form="verdict")), "untuned") == ["25", "50"]


def test_grades_by_category_stand_alone_where_there_is_no_reference() -> None:
    alone = _model(by_category={"a": (6.5, math.nan), "b": (7.25, math.nan)})
    assert _cells(category_table(_results(alone, form="single", reference="")), "untuned") == ["6.50", "7.25"]


def test_figures_that_are_not_there_are_dashes() -> None:
    bare = _model(
        reference_over_model=Interval(1.155, math.nan, math.nan),
        length_controlled=None,
        position_bias=None,
        self_agreement=None,
        swap_consistency=None,
        words=math.nan,
    )
    scores, wins, judge, _ = result_tables(_results(bare))
    assert _cells(scores, "Reference / model") == ["1.155"]
    assert _cells(wins, "At equal length (%)") == _cells(wins, "Words") == ["–"]
    assert _cells(judge, "First place") == _cells(judge, "Orders agree") == ["–"]


def test_a_terminal_of_100_columns_shows_every_cell_whole() -> None:
    labels = ["alone-classification-and-brainstorming", "centralised", "untuned", *"abcd"]
    console = Console(width=100, file=io.StringIO(), record=True)
    tables = result_tables(_results(*(_model(label) for label in labels)))
    console.print(*(part for table in tables for part in in_parts(table, console)))
    text = console.export_text()
    assert all(len(line.rstrip()) <= 100 for line in text.splitlines())
    for cell in ("1.155 (1.020–1.290)", "0.866 (0.775–0.980)", "41 (25–60)", "+0.40 (+0.10 to +0.70)"):
        assert text.count(cell) == len(labels)
    assert text.count("+0.50") == len(labels)


@pytest.mark.parametrize("change", [lambda m: m, lambda m: _verdicts()])
def test_csv_keeps_every_digit(change: Callable[[ModelResult], ModelResult]) -> None:
    models = [_model(), change(_model("b", length_controlled=None))]
    first, second = csv.DictReader(io.StringIO(to_csv(_results(*models))))
    assert (first["judge"], first["form"], first["label"]) == ("gpt-4o", "scores", "untuned")
    assert float(first["reference_over_model"]) == 131.7 / 114.0
    assert float(first["win_rate_low"]) == 0.21
    assert first["score[open_qa]"] == "6.0"
    assert "by_question" not in first
    if math.isnan(models[1].model_sum):
        assert second["model_sum"] == second["score[open_qa]"] == second["mean_low"] == ""
    else:
        assert second["length_controlled"] == second["length_controlled_low"] == ""
        assert second["reference_score[open_qa]"] == "5.5"
