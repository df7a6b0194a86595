from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from shepherd.errors import ShepherdError
from shepherd.report.comparison import Comparison, compare
from shepherd.report.comparison_table import category_table, comparison_table, to_csv, to_markdown
from shepherd.report.record import read_record

MakeRun = Callable[..., Path]


@pytest.fixture
def comparison(compared_run: Path) -> Comparison:
    record = read_record(compared_run)
    return compare([record, *record.baselines()])


def _printed(table: Table) -> list[str]:
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(table)
    return console.export_text().splitlines()


def test_the_first_run_is_the_reference(comparison: Comparison) -> None:
    reference, untuned = comparison.rows[:2]
    assert comparison.reference is reference
    assert reference.relative_loss == reference.relative_rouge_l == 1.0
    assert untuned.relative_loss == pytest.approx(untuned.loss / reference.loss)
    assert untuned.relative_loss is not None
    assert untuned.relative_loss > 1
    assert untuned.relative_rouge_l is not None
    assert untuned.relative_rouge_l > 1
    assert untuned.examples == 0


def test_other_holdouts_are_refused_by_name(run: Path, make_run: MakeRun, tmp_path: Path) -> None:
    ours = read_record(run)
    other = read_record(make_run(tmp_path / "stranger", fingerprint="zzz"))
    with pytest.raises(ShepherdError, match="stranger cannot be compared"):
        compare([ours, other])
    with pytest.raises(ShepherdError, match="no run to compare"):
        compare([])


def test_runs_of_one_name_are_told_apart(run: Path, make_run: MakeRun, tmp_path: Path) -> None:
    other = read_record(make_run(tmp_path / "elsewhere" / "quickstart"))
    labels = [row.label for row in compare([read_record(run), other]).rows]
    assert labels == [str(run), str(tmp_path / "elsewhere" / "quickstart")]


def test_baselines_of_two_runs_are_told_apart(compared_run: Path, make_run: MakeRun, tmp_path: Path) -> None:
    other = make_run(tmp_path / "second")
    make_run(other / "baselines" / "untuned", rounds=0)
    records = [r for run in map(read_record, (compared_run, other)) for r in (run, *run.baselines())]
    labels = [row.label for row in compare(records).rows]
    assert labels[:3] == ["quickstart", "quickstart/untuned", "alone-client-00"]
    assert labels[-2:] == ["second", "second/untuned"]


def test_different_bases_are_pointed_out(run: Path) -> None:
    record = read_record(run)
    other = replace(record, environment={**record.environment, "base_model": {"fingerprint": "other"}})
    assert "base models differ" in to_markdown(compare([record, other]))
    assert "base models differ" not in to_markdown(compare([record, record]))


def test_the_terminal_table_fits_and_marks_the_best(comparison: Comparison) -> None:
    lines = _printed(comparison_table(comparison))
    assert max(map(len, lines)) <= 100
    assert any(line.split()[:2] == ["alone-client-00", "320"] for line in lines)
    losses = list(comparison_table(comparison).columns[2].cells)
    assert [getattr(cell, "style", "") for cell in losses] == ["", "", "", "", "bold"]


def test_many_models_are_cut_to_the_terminal_and_said_so(comparison: Comparison) -> None:
    rows = [replace(comparison.reference, label=f"model-{k}") for k in range(12)]
    lines = _printed(category_table(Comparison(rows)))
    assert max(map(len, lines)) <= 100
    assert any("4 more models are in the CSV" in line for line in lines)


def test_a_run_without_rouge_or_categories_still_compares(comparison: Comparison) -> None:
    bare = Comparison(
        [
            replace(row, rouge_l=None, relative_rouge_l=None, loss_by_category={}, rouge_l_by_category={})
            for row in comparison.rows
        ]
    )
    assert "ROUGE" not in to_markdown(bare)
    assert "category" not in to_markdown(bare)


def test_markdown_escapes_names(comparison: Comparison) -> None:
    text = to_markdown(
        Comparison([replace(comparison.reference, label="a|b <i>\n[bold]x"), *comparison.rows[1:]])
    )
    assert "| a\\|b &lt;i> [bold]x |" in text
    widths = {line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 2  # one for the overall table, one for those by category


def test_csv_holds_every_figure_unrounded(comparison: Comparison) -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(comparison))))
    assert [line["model"] for line in lines] == [row.label for row in comparison.rows]
    assert float(lines[1]["loss"]) == comparison.rows[1].loss
    assert float(lines[0]["rouge_l[open_qa]"]) == comparison.reference.rouge_l_by_category["open_qa"]
