from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from matplotlib.colors import to_hex

from shepherd.report import figures
from shepherd.report.bytes_figure import bytes_figure
from shepherd.report.comparison import compare
from shepherd.report.drawing import drawn
from shepherd.report.palette import FEDERATED, REST, UNTUNED, model_styles
from shepherd.report.record import read_record


def test_loss_figure_shows_every_model(compared_run: Path) -> None:
    record = read_record(compared_run)
    axes = figures.loss_figure(record, record.baselines()).axes[0]
    labels = [line.get_label() for line in axes.get_lines()]
    assert labels == ["untuned", "alone-client-00", "alone-client-01", "centralised", "quickstart"]
    assert axes.get_xlabel() == "round"
    assert "nats" in axes.get_title(loc="left")


def test_untuned_line_comes_from_round_zero_without_baselines(run: Path) -> None:
    lines = figures.loss_figure(read_record(run)).axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["untuned", "quickstart"]
    assert to_hex(lines[0].get_color()) == UNTUNED


def test_no_rouge_no_picture(run: Path) -> None:
    record = read_record(run)
    without = [{k: v for k, v in line.items() if k != "rouge_l"} for line in record.metrics]
    assert figures.rouge_figure(replace(record, metrics=without)) is None
    assert figures.rouge_figure(record) is not None


def test_client_figure_has_a_point_per_client_and_round(run: Path) -> None:
    axes = figures.client_figure(read_record(run)).axes[0]
    assert len(axes.collections[0].get_offsets()) == 8 * 3


def test_bars_are_sorted_and_names_shortened_alike_stay_apart(run: Path) -> None:
    record = read_record(run)
    long = "x" * 60
    others = [replace(record, label=f"{long}{k}") for k in range(3)]
    axes = figures.comparison_figure(compare([record, *others])).axes[0]
    assert len({bar.get_y() for bar in axes.patches}) == 4
    assert FEDERATED in [to_hex(bar.get_facecolor()) for bar in axes.patches]


def test_colours_run_out_into_one_grey() -> None:
    styles = model_styles(["untuned", *(f"alone-{k}" for k in range(9)), "centralised"])
    colours = [colour for colour, _ in styles]
    assert colours.count(REST) == 3
    assert len(set(colours)) == 9


def test_hostile_names_are_drawn_as_they_are(run: Path) -> None:
    record = replace(read_record(run), label="_$\\frac{<script>alert(1)</script>\n羊\x00")
    svg = drawn(figures.loss_figure(record), "x", '"><script>')
    assert "<script" not in svg
    assert "羊" in svg or "…" in svg


def test_as_many_bytes_up_as_down_are_two_lines_that_can_both_be_seen(run: Path) -> None:
    traffic = figures.traffic_figure(read_record(run)).axes[0]
    for axes in (traffic, bytes_figure(read_record(run)).axes[0]):
        up, down = axes.get_lines()[:2]
        assert list(up.get_ydata()) == list(down.get_ydata())
        assert up.get_linestyle() == "-" != down.get_linestyle()
        assert up.get_linewidth() > 2 * down.get_linewidth()  # the later line lies on top
        assert up.get_markersize() > down.get_markersize() or axes is traffic


def test_identifiers_of_two_pictures_differ(run: Path) -> None:
    figure = figures.traffic_figure(read_record(run))
    first, second = drawn(figure, "one", "a"), drawn(figure, "two", "a")
    assert 'id="one-' in first
    assert 'id="two-' in second
    assert first == second.replace("two-", "one-")


def test_a_crowded_picture_becomes_a_png(make_run: Callable[..., Path], tmp_path: Path) -> None:
    crowded = make_run(tmp_path / "crowded", rounds=40, clients=[f"c{k}" for k in range(100)])
    markup = drawn(figures.client_figure(read_record(crowded)), "x", "many points")
    assert markup.startswith('<img alt="many points" src="data:image/png;base64,')
    assert len(markup) < 400_000
