"""The picture of a sweep: where its dots are, and what its axes and lines are called."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from shepherd.report.seeds import Method, Spread
from shepherd.report.seeds_figure import write_figure
from shepherd.report.sweep_document import sweep_document
from shepherd.report.sweep_figure import sweep_figure
from shepherd.report.sweep_table import SweepLine, SweepResults


def _line(values: dict[str, str], losses: list[float], rouge: float | None = None) -> SweepLine:
    nothing, loss = Spread(), Spread(dict(enumerate(losses)))
    rouge_l = Spread() if rouge is None else Spread({0: rouge})
    method = Method("x", list(loss.by_seed), loss, rouge_l, *[nothing] * 8)
    numbers = tuple(float(v) if v[0].isdigit() else None for v in values.values())
    return SweepLine(tuple(values.values()), numbers, method)


def _results(lines: list[SweepLine], *keys: str) -> SweepResults:
    return SweepResults(list(keys), lines, [])


def _means(axes: Axes) -> list[tuple[list[float], list[float]]]:
    return [
        ([float(x) for x in c.lines[0].get_xdata()], [float(y) for y in c.lines[0].get_ydata()])
        for c in axes.containers
    ]


def test_a_line_for_every_combination_of_the_other_keys() -> None:
    lines = [
        _line({"rule": rule, "rank": rank}, [3.0 + len(rank), 3.2 + len(rule)])
        for rule in ("fedavg", "fedadam")
        for rank in ("64", "4")
    ]
    figure = sweep_figure(_results(lines, "rule", "rank"))
    (axes,) = figure.axes
    assert axes.get_xlabel() == "rank\n(bars: a standard deviation over the seeds)"
    assert axes.get_xscale() == "log"  # 16 times as large
    assert [label.get_text() for label in axes.get_xticklabels()] == ["4", "64"]
    first, second = _means(axes)
    assert first == (pytest.approx([4.0, 64.0], rel=0.02), pytest.approx([(4.0 + 9.2) / 2, (5.0 + 9.2) / 2]))
    assert second[0] == pytest.approx([4.0, 64.0], rel=0.02)
    assert first[0] < second[0]  # side by side, so that both bars are seen
    figure.canvas.draw()
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    assert left < 4 < 64 < right < 100
    assert 2 < low < 6.6 < high < 12
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["rule=fedavg", "rule=fedadam"]
    spread = axes.containers[0].lines[2][0].get_segments()[0]
    assert np.ptp(spread[:, 1]) / 2 == pytest.approx(math.sqrt(2) * abs(4.0 - 9.2) / 2)


def test_values_that_are_near_each_other_have_a_plain_axis() -> None:
    lines = [_line({"alpha": value}, [3.0]) for value in ("0", "0.5", "5")]
    figure = sweep_figure(_results(lines, "alpha"))
    assert figure.axes[0].get_xscale() == "linear"
    assert figure.axes[0].get_xlabel() == "alpha"
    assert not figure.legends


def test_names_have_dots_beside_one_another() -> None:
    lines = [
        _line({"rule": rule, "base": base}, [3.0], rouge=0.2)
        for rule in ("fedavg", "fedadam")
        for base in ("lamb", "x$y_")
    ]
    figure = sweep_figure(_results(lines, "rule", "base"))
    loss, rouge = figure.axes
    assert [label.get_text() for label in loss.get_xticklabels()] == ["fedavg", "fedadam"]
    assert [places for places, _ in _means(loss)] == [
        pytest.approx([-0.15, 0.85]),
        pytest.approx([0.15, 1.15]),
    ]
    assert "ROUGE-L" in rouge.get_title(loc="left")
    figure.canvas.draw()  # a $ is no formula


def test_seeds_alone_and_many_lines_and_what_is_not_finite_are_drawn(tmp_path: Path) -> None:
    alone = sweep_figure(_results([_line({}, [3.0, 3.1])]))
    write_figure(alone, tmp_path / "alone.png")
    many = [_line({"rank": r, "lr": f"{k}"}, [3.0 + k]) for k in range(1, 14) for r in ("2", "4")]
    figure = sweep_figure(_results(many, "rank", "lr"))
    assert len(figure.legends[0].get_texts()) == 10  # nine colours, and the others
    broken = sweep_figure(_results([_line({"rank": "2"}, [math.nan]), _line({"rank": "4"}, [3.0])], "rank"))
    assert math.isnan(_means(broken.axes[0])[0][1][0])
    write_figure(broken, tmp_path / "broken.svg")


def test_the_results_are_written_in_every_form_of_a_table() -> None:
    results = _results([_line({"rank": "4"}, [3.0, 3.2]), _line({"rank": "8"}, [3.4])], "rank")
    assert "\\textbf{3.100 $\\pm$ 0.141}" in sweep_document(results, "latex").written("latex")
    page = sweep_document(results, "html").written("html")
    assert "<strong>3.100 ± 0.141</strong>" in page
    assert 'aria-label="Final hold-out loss by rank: 4 3.100; 8 3.400."' in page
    for form, part in (("csv", "rank,seeds,loss_mean"), ("markdown", "| 4 | 2 |"), ("table", "The sweep")):
        document = sweep_document(results, form)
        assert part in document.written(form)
        assert not document.pictures
