"""Methods over seeds: what counts as one method, and that every figure is what plain statistics say it is."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from scipy import stats

from shepherd.errors import ShepherdError
from shepherd.report.paired_table import paired_lines, paired_tables
from shepherd.report.record import Record, read_record
from shepherd.report.seeds import SeedComparison, compare_over_seeds
from shepherd.report.seeds_figure import seeds_figure, seeds_picture, write_seeds_figure
from shepherd.report.seeds_table import (
    costs_table,
    document_tables,
    seeds_table,
    terminal_tables,
    to_csv,
)
from shepherd.report.specialists import note_specialists
from shepherd.report.tables import markdown

MakeSeed = Callable[..., Record]
FLOORS = {"fedit": {0: 3.0, 1: 3.2, 2: 3.1}, "fedhds": {0: 3.1, 1: 3.25, 2: 3.3}}


@pytest.fixture
def make_seed(make_run: Callable[..., Path], tmp_path: Path) -> MakeSeed:
    """Writes a run of a method and a seed; hold-outs go by seed."""

    def made(method: str, seed: int, name: str | None = None, epochs: float = 1.0, **options: Any) -> Record:
        path = tmp_path / (name or f"{method}-{seed}")
        make_run(path, **{"fingerprint": f"of seed {seed}", **options})
        config = yaml.safe_load((path / "config.yaml").read_text())
        config |= {
            "seed": seed,
            "coreset": {"name": method},
            "training": {"name": "engine", "epochs": epochs},
        }
        config["run"] = {"root": str(path.parent), "name": path.name}
        (path / "config.yaml").write_text(yaml.safe_dump(config))
        return read_record(path)

    return made


@pytest.fixture
def records(make_seed: MakeSeed) -> list[Record]:
    return [
        make_seed(method, seed, floor=floor)
        for method, floors in FLOORS.items()
        for seed, floor in floors.items()
    ]


def _finals(records: list[Record], figure: str = "loss") -> list[float]:
    return [record.final[figure] for record in records]


def _cells(comparison: SeedComparison, heading: str, table: int = 0) -> list[str]:
    """Return a column of one of the tables: the scores, the paired ones, the costs last."""
    (found,) = (c for c in document_tables(comparison)[table].columns if str(c.header) == heading)
    return [str(cell) for cell in found.cells]


def test_runs_that_differ_in_seed_and_place_are_one_method(records: list[Record]) -> None:
    fedit, fedhds = compare_over_seeds(records).methods
    assert (fedit.label, fedhds.label) == ("fedit", "fedhds")
    assert fedit.seeds == fedhds.seeds == [0, 1, 2]
    assert fedit.loss.mean == pytest.approx(statistics.mean(_finals(records[:3])))
    assert fedit.loss.deviation == pytest.approx(statistics.stdev(_finals(records[:3])))
    assert fedit.rouge_l.mean == pytest.approx(statistics.mean(_finals(records[:3], "rouge_l")))
    assert fedit.examples.mean == records[0].examples
    assert fedit.round_seconds.mean == 80.0


def test_differences_are_paired_by_seed(records: list[Record]) -> None:
    # Order and missing seeds must not pair a run with another seed's.
    reference, other = compare_over_seeds([records[1], records[0], records[5], records[3]]).methods
    assert other.loss_difference.by_seed == {0: records[3].final["loss"] - records[0].final["loss"]}
    assert reference.loss_difference.mean is None
    whole = compare_over_seeds(records).methods[1]
    pairs = [b - a for a, b in zip(_finals(records[:3]), _finals(records[3:]), strict=True)]
    assert whole.loss_difference.mean == pytest.approx(statistics.mean(pairs))
    assert whole.loss_difference.deviation == pytest.approx(statistics.stdev(pairs))
    assert whole.loss_difference.deviation < whole.loss.deviation


def test_the_table_says_mean_and_spread_and_marks_the_best(records: list[Record]) -> None:
    comparison = compare_over_seeds(records)
    method = comparison.methods[1]
    assert _cells(comparison, "Loss")[1] == f"{method.loss.mean:.3f} ± {method.loss.deviation:.3f}"
    pairs = method.loss_difference
    assert _cells(comparison, "Difference", 1) == [f"{pairs.mean:+.3f} ± {pairs.deviation:.3f}"]
    assert _cells(comparison, "Difference", 2)[0].startswith("-")
    losses = list(seeds_table(comparison).columns[2].cells)
    assert [getattr(cell, "style", "") for cell in losses] == ["bold", ""]
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(*terminal_tables(comparison))
    line, costs = (line for line in console.export_text().splitlines() if line.startswith(" fedit"))
    assert costs.split() == ["fedit", "1,200", "1", "min", "20", "s", "12.0", "MB", "12.0", "MB"]
    assert line.split()[:5] == ["fedit", "3", *_cells(comparison, "Loss")[0].split()]
    assert "**fedit**" not in markdown(*document_tables(comparison))
    assert f"**{_cells(comparison, 'Loss')[0]}**" in markdown(*document_tables(comparison))


def test_one_seed_has_no_spread(records: list[Record]) -> None:
    comparison = compare_over_seeds([records[0], records[3]])
    assert not any("±" in cell for cell in _cells(comparison, "Loss"))
    assert [method.loss.deviation for method in comparison.methods] == [None, None]
    assert [method.label for method in comparison.methods] == ["fedit-0", "fedhds-0"]
    line = next(csv.DictReader(io.StringIO(to_csv(comparison))))
    assert line["loss_sd"] == ""
    assert float(line["loss_mean"]) == records[0].final["loss"]


def test_a_seed_twice_is_refused(records: list[Record], make_seed: MakeSeed) -> None:
    again = make_seed("fedit", 1, name="elsewhere")
    with pytest.raises(ShepherdError, match=r"fedit-1 and .*elsewhere are one method with the same seed 1"):
        compare_over_seeds([*records, again])
    with pytest.raises(ShepherdError, match="no run to compare"):
        compare_over_seeds([])
    with pytest.raises(ShepherdError, match="no seed that is a number"):
        compare_over_seeds([replace(records[0], config={})])


def test_holdouts_may_differ_between_seeds_but_not_within_one(
    records: list[Record], make_seed: MakeSeed
) -> None:
    stranger = make_seed("fedbalancer", 1, fingerprint="zzz")
    with pytest.raises(ShepherdError, match=r"fedbalancer-1 cannot be compared with .*fedit-1"):
        compare_over_seeds([*records, stranger])


def test_baselines_belong_to_their_runs(make_seed: MakeSeed) -> None:
    given = []
    for method in FLOORS:
        for seed in (0, 1):
            given.append(make_seed(method, seed))
            for label in ("untuned", "centralised", "alone-0"):
                # All pooled in one place, two methods are configured alike; epochs go by what the run trained on.
                name = f"{method}-{seed}/baselines/{label}"
                make_seed("full", seed, name=name, epochs=0.05 + seed / 100)
            given += given[-1].baselines()
    comparison = compare_over_seeds(given)
    assert [method.label for method in comparison.methods] == [
        *("fedit", "fedit/untuned", "fedit/alone (one client a seed)", "fedit/centralised"),
        *("fedhds", "fedhds/untuned", "fedhds/alone (one client a seed)", "fedhds/centralised"),
    ]
    assert all(method.seeds == [0, 1] for method in comparison.methods)
    alone = compare_over_seeds(given[:8]).methods
    assert [method.label for method in alone] == [
        *("fedit", "untuned", "alone (one client a seed)", "centralised"),
    ]


def _alone(make_seed: MakeSeed, seed: int, floors: dict[str, float]) -> list[Record]:
    """Write a run with clients alone, each with its own share of the data."""
    run = make_seed("fedit", seed)
    for client, floor in floors.items():
        name = f"fedit-{seed}/baselines/alone-{client}"
        made = make_seed("full", seed, name=name, epochs=floor, floor=floor)
        config = {**made.config, "participation": {"name": "only", "clients": [int(client)]}}
        (made.path / "config.yaml").write_text(yaml.safe_dump(config))
    return [run, *run.baselines()]


def test_clients_alone_are_a_mean_in_each_seed_and_not_the_same_client(make_seed: MakeSeed) -> None:
    # Client 4 of both seeds holds other data in each.
    first = _alone(make_seed, 0, {"4": 3.5, "7": 3.7})
    second = _alone(make_seed, 1, {"4": 3.4, "5": 3.6, "9": 3.9})
    comparison = compare_over_seeds([*first, *second])
    fedit, alone = comparison.methods
    assert alone.label == "alone (mean of 2 to 3 clients)"
    assert alone.loss.by_seed == {
        0: pytest.approx(statistics.mean(_finals(first[1:]))),
        1: pytest.approx(statistics.mean(_finals(second[1:]))),
    }
    assert alone.loss_difference.by_seed[1] == pytest.approx(alone.loss.by_seed[1] - fedit.loss.by_seed[1])
    assert "Clients alone are others in every seed" in str(seeds_table(comparison).caption)
    assert "Clients alone" not in str(seeds_table(compare_over_seeds([first[0], second[0]])).caption)
    # They are the same method where their runs are not among those compared; one client twice is a mistake.
    assert [m.label for m in compare_over_seeds([*first[1:], *second[1:]]).methods] == [alone.label]
    with pytest.raises(ShepherdError, match="alone-4 are one method with the same seed 0"):
        compare_over_seeds([*first, first[1]])


def test_specialists_are_one_method_across_seeds(make_seed: MakeSeed) -> None:
    first = _alone(make_seed, 0, {"4": 3.5, "7": 3.7, "8": 3.6})
    second = _alone(make_seed, 1, {"2": 3.4, "4": 3.9})
    note_specialists(first[0].path / "baselines", {"alone-4": "brainstorming", "alone-7": "open_qa"})
    note_specialists(first[0].path / "baselines", {"alone-8": "closed_qa"})
    note_specialists(second[0].path / "baselines", {"alone-2": "brainstorming"})
    methods = {method.label: method for method in compare_over_seeds([*first, *second]).methods}
    assert methods["alone on brainstorming"].loss.by_seed == {
        0: first[1].final["loss"],
        1: second[1].final["loss"],
    }
    assert methods["alone on open_qa"].seeds == methods["alone on closed_qa"].seeds == [0]
    assert methods["alone (one client a seed)"].loss.by_seed == {1: second[2].final["loss"]}
    (first[0].path / "baselines" / "specialists.json").write_text("[")
    with pytest.raises(ShepherdError, match=r"specialists\.json is damaged"):
        compare_over_seeds(first)


@pytest.mark.parametrize(
    ("names", "label"),
    [
        (["a-0", "a-1"], "a"),
        (["kseed-0", "kseed-1"], "kseed"),
        (["a_seed00", "a_seed01"], "a"),
        (["a-s0", "a-s1"], "a"),
        (["s0/a", "s1/a"], "a"),
        (["a", "a-1"], "a"),
        (["rank0", "rank1"], "rank0"),
        (["a-1", "a-0"], "a-1"),
        (["0", "1"], "0"),
    ],
)
def test_a_seed_is_cut_from_the_name_where_it_is_one(
    make_seed: MakeSeed, names: list[str], label: str
) -> None:
    runs = [make_seed("fedit", seed, name=name) for seed, name in enumerate(names)]
    assert [method.label for method in compare_over_seeds(runs).methods] == [label]


def test_methods_that_would_be_named_alike_keep_their_runs_names(make_seed: MakeSeed) -> None:
    runs = [make_seed(method, seed, name=f"{method}/x-{seed}") for method in FLOORS for seed in (0, 1)]
    labels = [method.label for method in compare_over_seeds(runs).methods]
    assert labels == [str(runs[0].path), str(runs[2].path)]
    clash = [*runs[:2], make_seed("fedhds", 0, name="x")]
    assert [method.label for method in compare_over_seeds(clash).methods] == ["x-0", "x"]


def _with_rounds(record: Record, machine: dict[str, Any], **figures: Any) -> Record:
    lines = [
        {**line, **figures, "machine": {**line["machine"], **machine}} if line["scope"] == "round" else line
        for line in record.metrics
    ]
    selection = {"round": 1, "scope": "selection", "client": "client-00", "examples_held": 9}
    return replace(record, metrics=[selection, *lines])


def _headings(comparison: SeedComparison) -> list[str]:
    return [str(column.header) for column in costs_table(comparison).columns]


def test_selection_is_shown_where_a_coreset_chooses(records: list[Record]) -> None:
    assert _headings(compare_over_seeds(records)) == ["Method", "Examples", "Time", "Up", "Down"]
    chosen = [
        _with_rounds(record, {"selection_seconds": 1.5}, examples_held=600, selected=30)
        for record in records[3:]
    ]
    comparison = compare_over_seeds([*records[:3], *chosen])
    assert comparison.methods[0].selected_share.mean is None
    assert _cells(comparison, "Selected", -1) == ["–", "5.0 %"]
    assert _cells(comparison, "Choosing", -1) == ["–", "12 s"]
    assert "Selected: the share of what" in str(costs_table(comparison).caption)
    counted = [_with_rounds(record, {}, examples_held=600) for record in records]
    assert _cells(compare_over_seeds(counted), "Selected", -1) == ["25.0 %", "25.0 %"]


def test_where_nothing_is_chosen_there_is_no_column_of_it(records: list[Record]) -> None:
    everything = {"examples_held": 600, "selected": 600}
    whole = [_with_rounds(record, {"selection_seconds": 1e-4}, **everything) for record in records]
    comparison = compare_over_seeds(whole)
    assert comparison.has("selection_seconds")
    assert _headings(comparison) == ["Method", "Examples", "Time", "Up", "Down"]
    assert "Selected" not in str(costs_table(comparison).caption)


def test_bytes_are_means_over_the_seeds_and_baselines_send_none(
    records: list[Record], make_seed: MakeSeed
) -> None:
    twice = _with_rounds(records[1], {}, bytes_up=3_000_000)
    pooled = make_seed("fedit", 0, name="fedit-0/baselines/centralised")
    comparison = compare_over_seeds([records[0], twice, pooled])
    assert _cells(comparison, "Up", -1) == ["18.0 MB", "–"]  # 12 MB of one seed, 24 MB of the other
    assert _cells(comparison, "Down", -1) == ["12.0 MB", "–"]
    ours, baseline = csv.DictReader(io.StringIO(to_csv(comparison)))
    assert float(ours["bytes_up_mean"]) == 18e6
    assert float(ours["bytes_up_sd"]) == pytest.approx(statistics.stdev([12e6, 24e6]))
    assert baseline["bytes_up_mean"] == baseline["bytes_down_mean"] == ""


def test_what_only_some_seeds_have_is_said_in_brackets(records: list[Record]) -> None:
    bare = [{k: v for k, v in line.items() if k != "rouge_l"} for line in records[5].metrics]
    comparison = compare_over_seeds([*records[:2], *records[3:5], replace(records[5], metrics=bare)])
    assert _cells(comparison, "ROUGE-L")[1].endswith("(2)")
    assert _cells(comparison, "Seeds", 1) == ["2"]
    assert "In brackets" in str(seeds_table(comparison).caption)
    assert "In brackets" not in str(seeds_table(compare_over_seeds(records)).caption)


def test_without_rouge_or_a_common_seed_there_is_still_a_table(records: list[Record]) -> None:
    bare = [
        replace(
            record, metrics=[{k: v for k, v in line.items() if k != "rouge_l"} for line in record.metrics]
        )
        for record in (records[0], records[4])
    ]
    comparison = compare_over_seeds(bare)
    assert "ROUGE" not in markdown(*document_tables(comparison))
    assert "Difference" not in markdown(*document_tables(comparison))
    assert "No method shares a seed with fedit-0" in markdown(*document_tables(comparison))
    assert len(seeds_figure(comparison).axes) == 1


def test_what_is_not_finite_is_a_dash_and_never_best(records: list[Record]) -> None:
    broken = replace(records[4], metrics=[*records[4].metrics, {**records[4].final, "loss": math.nan}])
    comparison = compare_over_seeds([*records[:4], broken])
    assert _cells(comparison, "Loss")[1] == _cells(comparison, "Difference", 1)[0] == "–"
    assert _cells(comparison, "p (t)", 1) == _cells(comparison, "p (flips)", 1) == ["–"]
    seeds_figure(comparison)


def test_unfinished_runs_and_other_bases_are_pointed_out(records: list[Record]) -> None:
    early = replace(records[0], config={**records[0].config, "rounds": 9})
    other = replace(records[3], environment={**records[3].environment, "base_model": {"fingerprint": "x"}})
    caption = str(seeds_table(compare_over_seeds([early, other])).caption)
    assert f"Not finished yet: {early.path}." in caption
    assert "base models differ" in caption


def test_a_method_that_keeps_parts_is_named_and_never_better(records: list[Record]) -> None:
    losses = {"a": [3.0, 3.2, 3.1], "b": [2.8, 3.01, 2.88], "c": [3.1, 3.1, 3.1]}
    made = _many(records, losses)
    own = {"adapter": {"own_parameters": 64}}
    made[3:6] = [replace(record, environment=record.environment | own) for record in made[3:6]]
    comparison = compare_over_seeds(made)
    table = seeds_table(comparison)
    assert "Never marked as best: b, of which parts are each client's own" in str(table.caption)
    bold = {str(column.header): [getattr(c, "style", "") for c in column.cells] for column in table.columns}
    assert bold["Loss"] == ["", "", ""]  # the others' means print alike
    assert [line.verdict for line in paired_lines(comparison, "loss")] == ["–", "≈"]
    against = compare_over_seeds([*made[3:6], *made[:3]])
    assert [line.verdict for line in paired_lines(against, "loss")] == ["–"]


def test_held_out_pairs_have_columns_and_differences(records: list[Record]) -> None:
    def told(record: Record, right: float) -> Record:
        last = {**record.final, "preference_accuracy": right, "preference_margin": right / 4}
        return replace(record, metrics=[*record.metrics, last])

    shares = [0.5, 0.52, 0.51, 0.8, 0.83, 0.82]
    comparison = compare_over_seeds([told(*pair) for pair in zip(records, shares, strict=True)])
    assert _cells(comparison, "Pairs right") == ["0.510 ± 0.010", "0.817 ± 0.015"]
    assert _cells(comparison, "Margin") == ["0.128 ± 0.003", "0.204 ± 0.004"]
    assert "which is not what it minimises" in str(seeds_table(comparison).caption)
    assert [line.verdict for line in paired_lines(comparison, "preference_accuracy")] == ["better"]
    titles = [str(table.title) for table in paired_tables(comparison)]
    assert titles[-1] == "Difference in pairs right to fedit, paired by seed"
    _, line = csv.DictReader(io.StringIO(to_csv(comparison)))
    assert float(line["preference_accuracy_mean"]) == pytest.approx(statistics.mean(shares[3:]))
    assert float(line["preference_accuracy_difference_mean"]) == pytest.approx(0.92 / 3)


def test_simulated_time_is_a_cost(records: list[Record], make_seed: MakeSeed) -> None:
    def timed(record: Record, hours: float) -> Record:
        lines = [
            {**line, "simulated_clock_hours": hours * line["round"]} if line["scope"] == "round" else line
            for line in record.metrics
        ]
        return replace(record, metrics=lines)

    simulated = [timed(record, hours) for record, hours in zip(records[:2], (0.25, 0.5), strict=True)]
    comparison = compare_over_seeds([*simulated, make_seed("fedit", 0, name="fedit-0/baselines/centralised")])
    assert _cells(comparison, "Simulated time", -1) == ["3 h 0 min", "–"]  # of 8 rounds 2 hours, and 4
    assert "Simulated time: that of the whole run" in str(costs_table(comparison).caption)
    line, _ = csv.DictReader(io.StringIO(to_csv(comparison)))
    assert float(line["simulated_hours_mean"]) == 3.0


def _with_losses(record: Record, loss: float) -> Record:
    return replace(record, metrics=[*record.metrics, {**record.final, "loss": loss}])


def _many(records: list[Record], losses: dict[str, list[float]]) -> list[Record]:
    """Runs of as many methods and seeds as there are losses."""
    return [
        replace(
            _with_losses(records[0], loss),
            path=Path(f"{method}-{seed}"),
            label=f"{method}-{seed}",
            config={**records[0].config, "seed": seed, "coreset": {"name": method}},
        )
        for method, values in losses.items()
        for seed, loss in enumerate(values)
    ]


def test_differences_are_tested(records: list[Record]) -> None:
    losses = {
        "a": [3.0, 3.2, 3.1],
        "b": [2.8, 3.01, 2.88],
        "c": [3.1, 3.1, 3.1],
        "d": [3.6, 3.85, 3.7],
    }
    comparison = compare_over_seeds(_many(records, losses))
    lines = paired_lines(comparison, "loss")
    for line, values in zip(lines, list(losses.values())[1:], strict=True):
        theirs = stats.ttest_rel(values, losses["a"])
        assert line.p_t == pytest.approx(theirs.pvalue)
        interval = theirs.confidence_interval()
        assert (line.low, line.high) == pytest.approx((interval.low, interval.high))
    assert [line.verdict for line in lines] == ["better", "≈", "worse"]
    assert [line.p_holm for line in lines] == pytest.approx(
        [2 * lines[0].p_t, lines[1].p_t, 3 * lines[2].p_t]
    )
    assert [line.p_flips for line in lines] == [0.25, 1.0, 0.25]
    assert _cells(comparison, "Verdict", 1) == ["better", "≈", "worse"]
    assert _cells(comparison, "95 % interval", 1)[0] == f"{lines[0].low:+.3f} to {lines[0].high:+.3f}"


def test_a_verdict_is_corrected_for_how_many_methods_are_compared(records: list[Record]) -> None:
    steps = (0.01, 0.02, 0.06)
    losses = {"a": [3.0] * 3} | {name: [2.95 - step for step in steps] for name in "bcde"}
    alone, *_ = paired_lines(compare_over_seeds(_many(records, {k: losses[k] for k in "ab"})), "loss")
    assert (alone.verdict, alone.high < 0, alone.p_t < 0.05) == ("better", True, True)
    comparison = compare_over_seeds(_many(records, losses))
    lines = paired_lines(comparison, "loss")
    assert [line.verdict for line in lines] == ["≈"] * 4
    assert lines[0].high == alone.high < 0
    caption = str(paired_tables(comparison)[0].caption)
    assert "as p (Holm) is not below 0.05" in caption
    assert "the intervals are each method's own" in caption


def test_better_is_a_lower_loss_and_a_higher_rouge(records: list[Record]) -> None:
    comparison = compare_over_seeds(records)
    assert comparison.methods[1].rouge_l_difference.mean < 0
    steady = [replace(r, metrics=[*r.metrics, {**r.final, "loss": 3.0, "rouge_l": 0.2}]) for r in records[:3]]
    ahead = [
        replace(r, metrics=[*r.metrics, {**r.final, "loss": 2.9 - seed / 1e3, "rouge_l": 0.3 + seed / 1e3}])
        for seed, r in enumerate(records[3:])
    ]
    comparison = compare_over_seeds([*steady, *ahead])
    assert paired_lines(comparison, "loss")[0].verdict == paired_lines(comparison, "rouge_l")[0].verdict
    assert paired_lines(comparison, "loss")[0].verdict == "better"
    assert "<0.001" in _cells(comparison, "p (t)", 1)


def test_of_a_single_seed_there_is_no_table_of_tests(records: list[Record]) -> None:
    one = compare_over_seeds([records[0], records[3]])
    assert paired_tables(one) == []
    table, _ = document_tables(one)
    assert "Differences are tested over two seeds at least that a method shares with fedit-0." in str(
        table.caption
    )


def test_the_caption_says_what_so_few_seeds_can_show(records: list[Record]) -> None:
    caption = str(paired_tables(compare_over_seeds(records))[0].caption)
    assert (
        "With 3 seeds p (flips) cannot go below 0.25, however large the difference; below 0.05 takes 6."
        in caption
    )
    assert "as p (t) is not below 0.05" in caption
    assert "Holm" not in caption
    some = paired_tables(compare_over_seeds([*records[:2], *records[3:5], *_many(records, {"c": [3.0]})]))
    assert "One seed has no spread: nothing can be tested." in str(some[0].caption)
    assert [str(cell) for cell in some[0].columns[3].cells][1] == "–"
    seven = _many(records, {name: [3 + seed / 7 for seed in range(7)] for name in "abc"})
    caption = str(paired_tables(compare_over_seeds(seven))[0].caption)
    assert "With 7 seeds p (flips) cannot go below 0.016." in caption
    assert "p (Holm) is p (t) corrected for 2 methods compared;" in caption
    assert paired_tables(compare_over_seeds(records[:3])) == []


def test_the_terminal_tables_fit(records: list[Record]) -> None:
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(*terminal_tables(compare_over_seeds(records)))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 100
    assert any(line.split()[:2] == ["fedhds", "3"] and line.split()[-4] == "≈" for line in lines)
    assert sum("Mean difference" in line for line in lines) == 1  # said once for both figures


def test_csv_is_unrounded(records: list[Record]) -> None:
    comparison = compare_over_seeds(records)
    lines = list(csv.DictReader(io.StringIO(to_csv(comparison))))
    assert [line["method"] for line in lines] == ["fedit", "fedhds"]
    assert float(lines[1]["loss_difference_sd"]) == comparison.methods[1].loss_difference.deviation
    assert [line["paired_seeds"] for line in lines] == ["0", "3"]
    (tested,) = paired_lines(comparison, "loss")
    assert float(lines[1]["loss_difference_p_t"]) == tested.p_t
    assert float(lines[1]["loss_difference_high"]) == tested.high
    assert float(lines[1]["rouge_l_difference_p_flips"]) == 0.25
    assert lines[0]["loss_difference_p_holm"] == lines[0]["rouge_l_difference_low"] == ""
    assert lines[0]["loss_difference_mean"] == lines[0]["selected_share_mean"] == ""


def test_the_picture_has_a_dot_per_seed_and_a_bar_at_the_mean(records: list[Record]) -> None:
    comparison = compare_over_seeds(records)
    loss, rouge = seeds_figure(comparison).axes
    assert [label.get_text() for label in loss.get_yticklabels()] == ["fedit", "fedhds"]
    assert "ROUGE-L" in rouge.get_xlabel()
    dots = [[float(x) for x, _ in points.get_offsets()] for points in loss.collections[:2]]
    assert dots == [pytest.approx(_finals(records[:3])), pytest.approx(_finals(records[3:]))]
    assert [line.get_xdata()[0] for line in loss.get_lines()] == [m.loss.mean for m in comparison.methods]


def test_the_picture_on_a_page_says_what_it_shows(records: list[Record]) -> None:
    comparison = compare_over_seeds(records)
    picture = seeds_picture(comparison)
    assert picture.startswith("<svg")
    assert f"fedit {comparison.methods[0].loss.mean:.3f}; fedhds" in picture


def test_the_picture_is_png_or_svg(records: list[Record], tmp_path: Path) -> None:
    comparison = compare_over_seeds(records)
    write_seeds_figure(comparison, tmp_path / "new" / "seeds.PNG")
    write_seeds_figure(comparison, tmp_path / "seeds.svg")
    assert (tmp_path / "new" / "seeds.PNG").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "seeds.svg").read_text()
    for name in ("seeds.pdf", "seeds"):
        with pytest.raises(ShepherdError, match=r"ends in \.png or \.svg"):
            write_seeds_figure(comparison, tmp_path / name)
        assert not (tmp_path / name).exists()
