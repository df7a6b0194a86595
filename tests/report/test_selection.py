from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.colors import to_hex

from shepherd.errors import ShepherdError
from shepherd.report import figures
from shepherd.report.drawing import drawn
from shepherd.report.html import write_report
from shepherd.report.palette import REST
from shepherd.report.record import read_record
from shepherd.report.selection_costs import privacy_sentence, selection_costs, selection_facts
from shepherd.report.selection_figure import selection_figure, selection_words
from shepherd.report.selection_section import selection_section
from shepherd.report.selection_sketch import read_sketch
from shepherd.report.summary import sentences

MakeSelection = Callable[..., Path]
MakeSketch = Callable[[list[str]], dict[str, Any]]


def _text(run: Path) -> str:
    source = write_report(run).read_text(encoding="utf-8")
    return " ".join(re.sub(r"<[^>]*>", " ", source.split("</style>", 1)[1]).split())


def test_the_facts_are_the_sums_over_the_rounds(selected_run: Path) -> None:
    costs = selection_costs(read_record(selected_run))
    assert costs is not None
    assert (costs.selected, costs.held, costs.groups, costs.surviving_groups) == (72, 1440, 240, 72)
    assert selection_facts(costs, 1200) == [
        ("Share of the clients' examples", "5.0 %"),
        ("Share of all examples", "0.75 %"),
        ("Groups a round", "30.0"),
        ("Surviving groups a round", "9.0"),
        ("Choosing, a round", "6.0 s"),
        ("Local training, a round", "4.0 s"),
        ("Choosing, in all", "48 s"),
        ("Local training, in all", "32 s"),
        ("Sent for the choice", "24.0 KB"),
    ]
    assert privacy_sentence(costs) == ""


def test_the_summary_says_what_was_chosen_and_what_that_took(selected_run: Path) -> None:
    said = sentences(read_record(selected_run), [], None)
    wanted = (
        "Each round its clients were given 5.0 % of their examples to train on, chosen by fedhds; choosing took "
        "6.0 s of 10 s a round."
    )
    assert wanted in said


@pytest.mark.usefixtures("undrawn")
def test_a_coreset_that_asks_nobody_is_said_without_seconds(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        if line["scope"] == "round":
            line |= {"selected": 15, "examples_held": 150}
            line["machine"]["selection_seconds"] = 1e-5
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run / "config.yaml").write_text("coreset: {name: random}")
    text = _text(run)
    assert "were given 10.0 % of their examples to train on, chosen by random. " in text
    assert "Share of all examples 1.2 %" in text
    assert "Choosing, a round" not in text


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("measured", [False, True])
def test_a_run_whose_clients_train_on_everything_has_no_such_section(run: Path, measured: bool) -> None:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        if measured and line["scope"] == "round":
            line |= {"selected": 150, "examples_held": 150}
            line["machine"]["selection_seconds"] = 1e-5
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert selection_costs(read_record(run)) is None
    assert "Selection" not in _text(run)


def test_noise_is_said_as_the_largest_epsilon_of_a_message(run: Path, make_selection: MakeSelection) -> None:
    spent = {"epsilon_of_message": 350.52, "epsilon_per_mean": 54.16, "delta": 1e-5}
    costs = selection_costs(read_record(make_selection(run, spent, sketched=False)))
    assert costs is not None
    said = privacy_sentence(costs)
    assert "of any one round, is 350.5 at δ = 1e-05 (54.2 of one mean)" in said


def test_the_section_shows_the_pictures_and_says_what_is_on_them(selected_run: Path) -> None:
    source = write_report(selected_run).read_text(encoding="utf-8")
    words = "Selection of round 8: 3 clients made 30 groups of their examples; 9 survived at the server."
    assert f'aria-label="{words} client-00 trains on 3 of 60 examples in 10 groups;' in source
    assert "Seconds of every round, 48 s for choosing and 32 s for training in all; beside it" in source
    text = _text(selected_run)
    assert "Selection of round 8. Left, some clients" in text
    assert "by chance only" not in text
    assert write_report(selected_run).read_text(encoding="utf-8") == source


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("coreset", [{"frame": "tsne"}, {"name": "relevant", "then": {"frame": "pca"}}])
def test_frames_that_cannot_be_compared_are_said(selected_run: Path, coreset: dict[str, Any]) -> None:
    (selected_run / "config.yaml").write_text(json.dumps({"coreset": coreset}))
    assert "two clients' groups are near each other by chance only" in _text(selected_run).replace(
        "&#39;", "'"
    )


@pytest.mark.usefixtures("undrawn")
def test_a_run_stopped_in_its_first_round_shows_what_was_chosen(selected_run: Path) -> None:
    first = (selected_run / "metrics.jsonl").read_text().splitlines(keepends=True)[0]
    (selected_run / "metrics.jsonl").write_text(first)
    assert "Selection of round 8." in _text(selected_run)


def test_the_picture_has_every_example_group_and_choice(selected_run: Path) -> None:
    sketch = read_sketch(selected_run)
    assert sketch is not None
    *clients, server = selection_figure(sketch).axes
    drawn_clients = [axes for axes in clients if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in drawn_clients] == [
        f"client-0{k}: 3 of 60" for k in range(3)
    ]
    for axes in drawn_clients:
        # The examples, the stars, and a halo behind each.
        assert sum(len(part.get_offsets()) for part in axes.collections) == 60 + 3 + 3
    assert sum(len(part.get_offsets()) for part in server.collections) == 30
    assert server.get_title(loc="left") == "9 of 30 groups survive"


def test_clients_beyond_the_palette_are_grey(selected_run: Path, make_sketch: MakeSketch) -> None:
    names = [f"c{k}" for k in range(14)]
    (selected_run / "selection.json").write_text(json.dumps(make_sketch(names)))
    sketch = read_sketch(selected_run)
    assert sketch is not None
    figure = selection_figure(sketch)
    colours = [
        to_hex(part.get_facecolor()[0]) for part in figure.axes[-1].collections if len(part.get_facecolor())
    ]
    assert colours.count(REST) == 2  # those that survive, and those that do not
    assert len(set(colours)) == 10
    texts = [text.get_text() for part in figure.subfigs for key in part.legends for text in key.get_texts()]
    assert "5 more" in texts


@pytest.mark.parametrize("names", [["_$\\frac{<script>\n羊", "$", "x" * 90], ["one"]])
def test_any_names_are_drawn_without_a_warning(
    selected_run: Path, make_sketch: MakeSketch, names: list[str]
) -> None:
    (selected_run / "selection.json").write_text(json.dumps(make_sketch(names)))
    sketch = read_sketch(selected_run)
    assert sketch is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        markup = drawn(selection_figure(sketch), "x", selection_words(sketch))
    assert "<script" not in markup


def test_one_example_one_group_nothing_chosen(selected_run: Path) -> None:
    client = {
        "name": "a",
        "examples": 1,
        "groups": 1,
        "selected": 0,
        "points": [[0, 0]],
        "labels": [0],
        "chosen": [],
    }
    groups = [{"client": "a", "x": 0, "y": 0, "survived": False}]
    counts = {"round": 1, "clients_asked": 1, "groups_found": 1, "groups_survived": 0}
    (selected_run / "selection.json").write_text(
        json.dumps({**counts, "clients": [client], "groups": groups})
    )
    sketch = read_sketch(selected_run)
    assert sketch is not None
    assert selection_words(sketch) == (
        "Selection of round 1: 1 client made 1 group of their examples; 0 survived at the server. "
        "a trains on 0 of 1 example in 1 group."
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert drawn(selection_figure(sketch), "x", "nothing")


@pytest.mark.parametrize(
    "damage",
    [
        lambda sketch: [],
        lambda sketch: {**sketch, "round": None},
        lambda sketch: {**sketch, "clients": []},
        lambda sketch: {**sketch, "clients": [{"name": "a"}]},
        lambda sketch: {**sketch, "clients": [{**sketch["clients"][0], "labels": [0]}]},
        lambda sketch: {**sketch, "clients": [{**sketch["clients"][0], "chosen": [60]}]},
        lambda sketch: {**sketch, "clients": [{**sketch["clients"][0], "points": [[1, 2, 3]] * 60}]},
        lambda sketch: {**sketch, "groups": [{"client": "a", "x": float("nan"), "y": 0, "survived": True}]},
    ],
)
def test_a_damaged_sketch_is_named(selected_run: Path, damage: Callable[[Any], Any]) -> None:
    path = selected_run / "selection.json"
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))
    with pytest.raises(ShepherdError, match=r"selection\.json is damaged"):
        read_sketch(selected_run)


def test_half_a_sketch_is_named_and_none_is_none(selected_run: Path) -> None:
    (selected_run / "selection.json").write_text("{")
    with pytest.raises(ShepherdError, match=r"selection\.json is damaged"):
        selection_section(read_record(selected_run))
    (selected_run / "selection.json").unlink()
    section = selection_section(read_record(selected_run))
    assert section is not None
    assert section["sketch"] is None


def test_seconds_are_stacked_and_groups_added_up(selected_run: Path) -> None:
    seconds, groups = figures.selection_rounds_figure(read_record(selected_run)).axes
    assert [bar.get_height() for bar in seconds.patches] == [6.0] * 8 + [4.0] * 8
    assert [list(line.get_ydata()) for line in groups.get_lines()] == [[30] * 8, [9] * 8]


def test_without_groups_there_are_seconds_only(run: Path, make_selection: MakeSelection) -> None:
    ungrouped = {"groups": None, "surviving_groups": None}
    record = read_record(make_selection(run, ungrouped, sketched=False))
    assert len(figures.selection_rounds_figure(record).axes) == 1
    costs = selection_costs(record)
    assert costs is not None
    assert costs.groups is None


@pytest.mark.parametrize("rounds", [{3}, set(range(1, 9))])
def test_rounds_in_which_nobody_trained_break_nothing(selected_run: Path, rounds: set[int]) -> None:
    record = read_record(selected_run)
    nothing = {"clients": 0, "selected": 0, "examples": 0, "tokens": 0, "train_loss": None, "bytes_down": 0}
    lines = [
        {**line, **nothing, "machine": {**line["machine"], "tokens_per_second": 0.0}}
        if line["scope"] == "round" and line["round"] in rounds
        else line
        for line in record.metrics
        if line["scope"] != "client" or line["round"] not in rounds
    ]
    (selected_run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = _text(selected_run)
    assert "Choosing, in all 48 s" in text
    record = replace(record, metrics=lines)
    assert record.train_curve()[0] == sorted(set(range(1, 9)) - rounds)
