"""What a run's algorithms say of its rounds: shown, each in words, and nothing of what every round has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shepherd.config import parse_config
from shepherd.report.grid import grid
from shepherd.report.html import write_report
from shepherd.report.record import read_record
from shepherd.report.round_figures import round_figures
from shepherd.report.summary import sentences
from shepherd.runs import execute
from tiny_runs import tiny_values


def tell(run: Path, **figures: list[float]) -> None:
    """Put figures into the lines of the first rounds."""
    path = run / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for name, values in figures.items():
        for line in lines:
            if line["scope"] == "round" and line["round"] <= len(values):
                line[name] = values[line["round"] - 1]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_line_for_each_figure_first_last_lowest_and_highest(run: Path) -> None:
    assert round_figures(read_record(run)) is None
    tell(run, product_error=[0.3, 0.1, 0.2], clusters=[1.0, 3.0], somebodys_own=[2.5])
    table = round_figures(read_record(run))
    assert table is not None
    rows = [[cell.text for cell in row] for row in grid(table).rows]
    assert rows == [
        [
            "Missed by averaging A and B apart, share of the average product",
            "0.300",
            "0.200",
            "0.100",
            "0.300",
        ],
        ["Clusters of clients", "1", "3", "1", "3"],
        ["somebodys_own", "2.500", "2.500", "2.500", "2.500"],
    ]


@pytest.mark.usefixtures("undrawn")
def test_the_report_and_the_closing_words_have_them(run: Path) -> None:
    assert "Averaging A and B apart" not in " ".join(sentences(read_record(run), [], None))
    tell(run, product_error=[0.298, 0.257, 0.182])
    said = " ".join(sentences(read_record(run), [], None))
    assert "Averaging A and B apart misses 18.2 % of the clients' average product in the last round" in said
    assert "and 29.8 % in the first." in said
    assert "Missed by averaging A and B apart" in write_report(run).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"system": {"name": "synchronous", "deadline_s": 1e9}},
        {"system": {"name": "fedbuff", "buffer": 2}},
    ],
    ids=["plain", "synchronous", "fedbuff"],
)
def test_what_every_round_has_is_not_among_them(
    tiny_base: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    found = execute(parse_config(tiny_values(tiny_base, tmp_path, rounds=1, **changes)))
    assert round_figures(found.record) is None
