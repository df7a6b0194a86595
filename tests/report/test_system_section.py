"""The report of a run on simulated devices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from shepherd.report.comparison import compare
from shepherd.report.comparison_table import cost_table, to_csv
from shepherd.report.grid import grid
from shepherd.report.html import write_report
from shepherd.report.record import read_record
from shepherd.report.simulated_time import hours_to, loss_over_hours, system_facts, time_to_loss
from shepherd.report.system_section import system_section
from shepherd.report.timeline import loss_hours_figure, timeline_figure, timeline_words, told_round


def _simulated(run: Path, hours: float = 0.5) -> Path:
    """Turn a run into one whose every round took so many hours, one of its three clients being late."""
    path = run / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(new) + "\n" for line in lines for new in _on_devices(line, hours)))
    return run


def _on_devices(line: dict[str, Any], hours: float) -> Iterator[dict[str, Any]]:
    if line["scope"] == "client":
        late = line["client"] == "client-02"
        own = {
            "simulated_start_seconds": 3600 * hours * (line["round"] - 1),
            "fate": "late" if late else "arrived",
        }
        parts = {"download": 60.0, "compute": 600.0, "upload": 3600 * hours - 660 if late else 120.0}
        own |= {f"simulated_{part}_seconds": seconds for part, seconds in parts.items()}
        own |= {"simulated_seconds": sum(parts.values()), "number": 0}
        yield line | own | {"scope": "missing" if late else "client"}
    elif line["scope"] == "round":
        figures = {"simulated_seconds": 3600 * hours, "simulated_clock_hours": hours * line["round"]}
        counts = {
            "clients": 2,
            "clients_late": 1,
            "clients_dropped": 0,
            "wasted_bytes": 10**6,
            "idle_share": 0.25,
        }
        yield line | figures | counts
    else:
        yield line


def test_the_facts_are_the_sums_over_the_rounds(run: Path) -> None:
    facts = system_facts(read_record(_simulated(run)))
    assert facts == [
        ("Simulated time", "4 h 0 min"),
        ("A round", "30 min 0 s"),
        ("Updates used", "16"),
        ("Late", "8"),
        ("Lost", "0"),
        ("Idle share of clients", "25.0 %"),
        ("Traffic for nothing", "8.00 MB (33.3 %)"),
    ]


def test_time_to_a_loss_is_that_of_the_first_evaluation_that_had_it(run: Path) -> None:
    record = read_record(_simulated(run))
    hours, losses = loss_over_hours(record)
    assert hours == [0.5 * round for round in range(9)]
    assert hours_to(record, losses[3] + 1e-9) == 1.5
    assert hours_to(record, losses[-1] - 0.1) is None
    rows = [[cell.text for cell in row] for row in grid(time_to_loss(record)).rows]
    assert rows[0] == ["25.0 %", "4.018", "30 min 0 s", "3.00 MB"]
    assert rows[-1] == ["100.0 %", "3.173", "4 h 0 min", "24.0 MB"]


def test_a_comparison_tells_when_every_run_had_the_loss_that_all_reached(run: Path, make_run: Any) -> None:
    slow = _simulated(make_run(run.parent / "slow", floor=2.9), hours=2.0)
    others = [read_record(path) for path in (_simulated(run), slow, make_run(run.parent / "plain"))]
    comparison = compare(others)
    assert comparison.target == min(loss_over_hours(others[0])[1])
    assert [row.hours_to_target for row in comparison.rows] == [4.0, 10.0, None]
    assert [row.simulated_hours for row in comparison.rows] == [4.0, 16.0, None]
    table = grid(cost_table(comparison))
    place = [heading.text for heading in table.headings].index("Time to loss")
    assert [row[place].text for row in table.rows] == ["4 h 0 min", "10 h 0 min", "–"]
    assert "hours_to_target" in to_csv(comparison)
    plain = cost_table(compare(others[2:]))
    assert "Time to loss" not in [str(column.header) for column in plain.columns]


def _never_better(run: Path) -> Path:
    """Let every evaluation after the first be worse than it."""
    path = run / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [
        line | {"loss": 4.3 + line["round"] / 10} if line["scope"] == "global" else line for line in lines
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


def test_a_run_that_never_got_better_sets_no_loss_to_aim_at(run: Path, make_run: Any) -> None:
    worse = read_record(_never_better(_simulated(make_run(run.parent / "worse"))))
    ours = read_record(_simulated(run))
    comparison = compare([ours, worse])
    assert comparison.target == min(loss_over_hours(ours)[1])
    assert [row.hours_to_target for row in comparison.rows] == [4.0, None]
    assert "Never below the loss it began with: worse." in str(cost_table(comparison).caption)
    alone = compare([worse])
    assert alone.target is None
    assert alone.never_below == ["worse"]
    assert "Never below" not in str(cost_table(compare([ours])).caption)


def test_the_timeline_shows_every_client_of_the_last_round(run: Path) -> None:
    record = read_record(_simulated(run))
    assert told_round(record) == 8
    figure = timeline_figure(record, 8)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["client-00", "client-01", "client-02"]
    assert axes.get_xlabel() == "minutes since the round began"
    widths = [round(bar.get_width(), 6) for bar in axes.patches]
    assert widths == [1, 10, 2, 17, 1, 10, 2, 17, 1, 10, 19]
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert said == ["download", "compute", "upload", "waiting", "late"]
    assert timeline_words(record, 8) == (
        "Timeline of round 8, 1,800.0 simulated seconds: 2 updates arrived, 1 were late, 0 clients were lost."
    )
    assert loss_hours_figure(record).axes[0].get_xlabel() == "simulated hours"


def test_the_mark_of_a_client_lost_at_once_does_not_cover_its_name(run: Path) -> None:
    record = read_record(_simulated(run))
    nothing = {f"simulated_{part}_seconds": 0.0 for part in ("download", "compute", "upload")}
    line = next(line for line in record.metrics if line["scope"] == "missing" and line["round"] == 8)
    line.update(nothing | {"simulated_seconds": 0.0, "fate": "dropped"})
    figure = timeline_figure(record, 8)
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    (mark,) = (drawn for drawn in axes.get_lines() if drawn.get_marker() == "x")
    name = next(label for label in axes.get_yticklabels() if label.get_text() == line["client"])
    reach = (mark.get_markersize() / 2 + mark.get_markeredgewidth()) * figure.dpi / 72
    left = axes.transData.transform((mark.get_xdata()[0], 0))[0] - reach
    assert name.get_window_extent().x1 < left


def test_of_many_clients_some_are_shown(run: Path) -> None:
    record = read_record(_simulated(run))
    line = next(line for line in record.metrics if line["scope"] == "client")
    record.metrics.extend({**line, "round": 8, "client": f"more-{place}"} for place in range(60))
    (axes,) = timeline_figure(record, 8).axes
    assert len(axes.get_yticklabels()) == 24
    assert axes.get_title(loc="left") == "round 8, 24 of 63 clients"


@pytest.mark.usefixtures("undrawn")
def test_the_page_has_a_section_only_where_there_is_a_system(run: Path) -> None:
    assert system_section(read_record(run)) is None
    assert "On simulated devices" not in write_report(run).read_text(encoding="utf-8")
    page = write_report(_simulated(run)).read_text(encoding="utf-8")
    assert "On simulated devices" in page
    assert "4 h 0 min" in page
