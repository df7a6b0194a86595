"""Sweeps: what a grid is, what is refused before anything runs, and that the runs and their table are right."""

from __future__ import annotations

import csv
import json
import re
import shlex
import statistics
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from shepherd.config import PlaceConfig, RunConfig
from shepherd.errors import ShepherdError
from shepherd.observer import Observer
from shepherd.report.record import read_record
from shepherd.report.sweep_table import sweep_results, sweep_table
from shepherd.sweep.grid import MOST_CELLS, Plan, plan_sweep
from shepherd.sweep.running import run_sweep, write_results
from shepherd.sweep.values import alternatives, cell_name, read_seeds, short_keys


@pytest.fixture
def config(tiny: dict[str, Any], tmp_path: Path) -> str:
    """The tiny config as a file, one round long."""
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**tiny, "rounds": 1}))
    return str(path)


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that take no time: a loss that tells rank, clients and seed; no more than 50 clients can be dealt."""

    def write(config: RunConfig, **_: Any) -> None:
        folder = config.run.directory
        if config.allocation.clients > 50:
            raise ShepherdError("That many clients need more.")
        (folder / "adapter").mkdir(parents=True)
        (folder / ".lock").touch()
        (folder / "adapter" / "adapter_config.json").touch()
        (folder / "config.yaml").write_text(config.to_yaml())
        environment = {"data": {"holdout_fingerprint": f"{config.data.rows} {config.seed}"}}
        (folder / "environment.json").write_text(json.dumps(environment))
        loss = 3 + config.adapter.rank / 10 + config.seed**2 / 100
        sent = {"bytes_up": 1000 * config.adapter.rank, "bytes_down": 5000, "machine": {"seconds": 2.0}}
        lines = [{"round": 1, "scope": "round", **sent}, {"round": 1, "scope": "global", "loss": loss}]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    monkeypatch.setattr("shepherd.runs.run", write)


def _run(plan: Plan) -> tuple[dict[str, str], list[str]]:
    said: list[str] = []
    return run_sweep(plan, lambda name: nullcontext(Observer()), said.append), said


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("4,8,16", ["4", "8", "16"]),
        ("4, 8", ["4", "8"]),
        ("0.5", ["0.5"]),
        ("", [""]),
        ("4,", ["4", ""]),
        ("[1,2],[3,4]", ["[1,2]", "[3,4]"]),
        ("[[1,2],[3]],null", ["[[1,2],[3]]", "null"]),
        ("{a: 1, b: [2, 3]},full", ["{a: 1, b: [2, 3]}", "full"]),
        ("'a,b',c", ["'a,b'", "c"]),
        ("'it''s, so',b", ["'it''s, so'", "b"]),
        (r'"\\",0', [r'"\\"', "0"]),
        (r'"a\",b",c', [r'"a\",b"', "c"]),
        ("{a: 'x,}y', b: 2},q", ["{a: 'x,}y', b: 2}", "q"]),
        ("it's,b", ["it's", "b"]),
        ("1],2", ["1]", "2"]),
    ],
)
def test_commas_part_at_the_outermost_level(text: str, parts: list[str]) -> None:
    assert alternatives(text) == parts


@given(
    st.lists(
        st.recursive(
            st.integers() | st.booleans() | st.text("ab ,'[]{}\"\\:", max_size=6),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text("xy", min_size=1), inner, max_size=2)
            ),
            max_leaves=5,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_values_written_as_yaml_are_found_again(values: list[Any]) -> None:
    written = ",".join(map(json.dumps, values))  # JSON is YAML, but for how long a line may be
    assert [json.loads(part) for part in alternatives(written)] == values


def test_the_grid_is_every_combination_with_every_seed(config: str, tiny: dict[str, Any]) -> None:
    plan = plan_sweep(config, ["adapter.rank=2,4", "rounds=3", "allocation.alpha=0.5,1,2"], [0, 7])
    assert [(c.config.adapter.rank, c.config.allocation.alpha, c.config.seed) for c in plan.cells] == [
        (rank, alpha, seed) for rank in (2, 4) for alpha in (0.5, 1, 2) for seed in (0, 7)
    ]
    assert all(cell.config.rounds == 3 for cell in plan.cells)
    first = plan.cells[0]
    root = Path(tiny["run"]["root"])
    assert first.config.run.directory == root / "tiny-sweep" / "rank-2_alpha-0.5_seed-0"
    assert first.words == "rank=2, alpha=0.5, seed=0"
    assert {cell.config.run.encoded for cell in plan.cells} == {root / ".encoded"}
    assert len({cell.name for cell in plan.cells}) == 12
    assert plan.fixed == ["rounds=3"]
    assert plan_sweep(config, [], name="mine").cells[0].config.run.directory == root / "mine" / "seed-0"
    assert [cell.name for cell in plan_sweep(config, ["seed=3,4"]).cells] == ["seed-3", "seed-4"]


def test_lists_maps_and_algorithms_are_values(config: str) -> None:
    plan = plan_sweep(
        config, ["coreset={name: random, count: 5},full", "adapter.targets=[q_proj],[q_proj, v_proj]"]
    )
    assert [cell.config.coreset.name for cell in plan.cells] == ["random", "random", "full", "full"]
    assert [list(cell.config.adapter.targets) for cell in plan.cells[:2]] == [
        ["q_proj"],
        ["q_proj", "v_proj"],
    ]
    assert all(Path(cell.name).name == cell.name for cell in plan.cells)
    named = plan_sweep(config, ["coreset.name=full,random", "coreset.count=null"][:1])
    assert [cell.name for cell in named.cells] == ["coreset-full_seed-0", "coreset-random_seed-0"]


@pytest.mark.parametrize(
    ("assignments", "said"),
    [
        (["adapter.rnk=2,4"], "there is no key 'rnk' here; did you mean 'rank'?"),
        (["adapter.rank=2,0"], "adapter.rank: input should be greater than 0"),
        (["adapter.rank=2,x"], "adapter.rank: .*'x'"),
        (["adapter.rank=2,4,2"], "2 is there twice in 'adapter.rank=2,4,2'"),
        (["training.lr=1e-3,0.001"], "lr=1e-3 and lr=0.001 are the same run"),
        (["adapter.rank=2,,4"], "nothing between two commas"),
        (["adapter.rank=2,"], "nothing between two commas or after the last"),
        (["adapter.rank=2", "adapter.rank=4"], "adapter.rank is given twice"),
        (["adapter.rank"], "is no key=value"),
        (["=2,4"], "is no key=value"),
        (["adapter.targets=[a,b"], "not a YAML value"),
        (["run.threads=1,2"], "run.threads says where a run is kept"),
        (["seed=0,0"], "0 is there twice"),
        (["seed=0,00"], "0 is there twice in the seeds '0,00'"),
        (["seed=0,-1"], "give whole numbers from 0"),
        (["training.lr+rounds=1e-3+2,1e-2"], "has 2 keys, and '1e-2' is not a value for each"),
        (["training.lr+rounds=1e+3+2"], "put a value with \\+ into quotes"),
        (["training.lr+=1e-3+2"], "has 2 keys, and"),
        (["training.lr+rounds=1e-3+2", "rounds=1,2"], "rounds is given twice"),
        (["training.lr+run.name=1e-3+a,1e-2+b"], "run.name says where a run is kept"),
        (["seed+rounds=0+1,1+2"], "cannot change together with others"),
    ],
)
def test_what_cannot_be_swept_is_refused(config: str, assignments: list[str], said: str) -> None:
    with pytest.raises(ShepherdError, match=said):
        plan_sweep(config, assignments)


def test_keys_that_need_one_another_change_together(config: str) -> None:
    joined = "aggregation+training.correction"
    plan = plan_sweep(
        config,
        [f"{joined}=fedavg+null,scaffold+scaffold,{{name: feddyn, alpha: 0.2}}+{{name: feddyn, alpha: 0.2}}"],
        [0, 1],
    )
    found = [cell.config for cell in plan.cells[::2]]
    corrections = [config.training.correction and config.training.correction.name for config in found]
    assert [config.aggregation.name for config in found] == ["fedavg", "scaffold", "feddyn"]
    assert corrections == [None, "scaffold", "feddyn"]
    assert found[2].training.correction.alpha == 0.2
    assert [cell.words for cell in plan.cells[:3:2]] == [
        "aggregation+correction=fedavg+null, seed=0",
        "aggregation+correction=scaffold+scaffold, seed=0",
    ]
    assert len({cell.name for cell in plan.cells}) == 6
    assert plan.cells[0].number(joined) is None


def test_one_value_of_joined_keys_is_a_change_to_all(config: str) -> None:
    plan = plan_sweep(config, ["training.lr+rounds=1e-3+2", "adapter.rank=2,4"])
    assert plan.fixed == ["training.lr=1e-3", "rounds=2"]
    assert {(cell.config.training.lr, cell.config.rounds) for cell in plan.cells} == {(1e-3, 2)}


def test_seeds_names_and_sizes_that_are_none_are_refused(config: str) -> None:
    for text in ("", "0,", "a", "1.5", "-1", "0 1", "٣"):
        with pytest.raises(ShepherdError, match="give whole numbers from 0"):
            read_seeds(text)
    assert read_seeds("0, 12") == [0, 12]
    with pytest.raises(ShepherdError, match="given twice, by --seeds and by seed="):
        plan_sweep(config, ["seed=0,1"], [2])
    for name in ("a/b", "..", ".a", "a b"):
        with pytest.raises(
            ShepherdError, match=f"cannot be called '{re.escape(name)}': a folder's name is made of"
        ):
            plan_sweep(config, [], name=name)
    many = ",".join(map(str, range(1, MOST_CELLS // 2 + 2)))
    with pytest.raises(ShepherdError, match="1,002 cells, more than 1,000"):
        plan_sweep(config, [f"adapter.rank={many}"], [0, 1])
    with pytest.raises(ShepherdError, match="no preset or YAML file 'quikstart'; did you mean"):
        plan_sweep("quikstart", ["adapter.rank=2,4"])


@given(st.lists(st.text(max_size=200), min_size=2, max_size=2, unique=True))
def test_names_are_safe_and_tell_values_apart(values: list[str]) -> None:
    one, other = (cell_name({"data.path": value, "data.rows": "5"}, 3) for value in values)
    assert one.lower() != other.lower() or values[0].lower() == values[1].lower()
    for name in (one, other):
        assert PlaceConfig(name=name).name == name
        assert name.isascii()
        assert len(name) < 200


def test_a_dash_at_the_end_tells_values_apart() -> None:
    assert len({cell_name({"data.path": value}, 0) for value in ("", "-", "--", "a", "a-", "-a")}) == 6


def test_keys_are_as_short_as_tells_them_apart() -> None:
    assert short_keys(["adapter.rank", "aggregation.name", "rounds"]) == ["rank", "aggregation", "rounds"]
    assert short_keys(["adapter.alpha", "allocation.alpha"]) == ["adapter.alpha", "allocation.alpha"]


def test_a_sweep_runs_and_goes_on_where_it_was(config: str) -> None:
    plan = plan_sweep(config, ["adapter.rank=1,2", "evaluation.answers=0"])
    failures, said = _run(plan)
    assert failures == {}
    assert said[0] == "Cell 1 of 2: rank=1, seed=0"
    line, _ = write_results(plan).lines
    assert line.method.loss.mean == read_record(plan.cells[0].config.run.directory).final["loss"]
    written = {path: path.stat().st_mtime_ns for path in plan.folder.rglob("adapter/*")}
    assert _run(plan) == ({}, [])
    assert written == {path: path.stat().st_mtime_ns for path in plan.folder.rglob("adapter/*")}
    with pytest.raises(ShepherdError, match="was run with rounds=1, not 2"):
        _run(plan_sweep(config, ["adapter.rank=5,1", "evaluation.answers=0", "rounds=2"]))
    assert not (plan.folder / "rank-5_seed-0").exists()  # found out before anything ran


@pytest.mark.usefixtures("instant")
def test_the_results_are_means_over_seeds(config: str) -> None:
    plan = plan_sweep(config, ["adapter.rank=1,2"], [0, 1, 3])
    failures, said = _run(plan)
    assert failures == {}
    assert said[0] == "Cell 1 of 6: rank=1, seed=0"
    assert re.fullmatch(r"Cell 6 of 6: rank=2, seed=3 \(about [\d.]+ s left\)", said[5])
    results = write_results(plan)
    lines = list(csv.DictReader((plan.folder / "table.csv").read_text().splitlines()))
    assert [line["rank"] for line in lines] == ["1", "2"]
    for line in lines:
        own = [3 + int(line["rank"]) / 10 + seed**2 / 100 for seed in (0, 1, 3)]
        assert line["seeds"] == "3"
        assert float(line["loss_mean"]) == pytest.approx(statistics.mean(own))
        assert float(line["loss_sd"]) == pytest.approx(statistics.stdev(own))
        assert float(line["bytes_up_mean"]) == 1000 * int(line["rank"])
        assert float(line["bytes_down_mean"]) == 5000
    written = (plan.folder / "table.md").read_text()
    assert "| Time | Up | Down |" in written
    assert "| 2.0 s | 2.00 KB | 5.00 KB |" in written
    assert "| 1 | 3 | **3.133 ± 0.049** |" in (plan.folder / "table.md").read_text()
    assert (plan.folder / "sweep.png").read_bytes().startswith(b"\x89PNG")
    kept = json.loads((plan.folder / "sweep.json").read_text())
    assert kept["grid"] == {"adapter.rank": ["1", "2"]}
    assert [cell["state"] for cell in kept["cells"]] == ["finished"] * 6
    # Values and seeds may be added later; what is there stays.
    assert len(_run(plan_sweep(config, ["adapter.rank=1,2,3"], [0, 1, 3, 4]))[1]) == 6
    assert [line.numbers for line in results.lines] == [(1.0,), (2.0,)]


@pytest.mark.usefixtures("instant")
def test_a_cell_that_fails_does_not_keep_the_others_from_running(config: str) -> None:
    plan = plan_sweep(config, ["allocation.clients=80,5"])
    with pytest.raises(ShepherdError, match=r"No cell of the sweep in .*tiny-sweep is finished"):
        sweep_results(plan)
    failures, said = _run(plan)
    assert failures == {"clients-80_seed-0": "That many clients need more."}
    assert said[1:] == ["This cell failed: That many clients need more.", "Cell 2 of 2: clients=5, seed=0"]
    results = write_results(plan)
    assert results.unfinished == ["clients=80, seed=0"]
    assert "Not finished: clients=80, seed=0." in str(sweep_table(results).caption)
    failed = json.loads((plan.folder / "sweep.json").read_text())["cells"][0]
    assert (failed["state"], failed["reason"]) == ("failed", "That many clients need more.")


@pytest.mark.usefixtures("instant")
def test_a_sweep_over_the_data_has_a_table_without_a_best(config: str) -> None:
    plan = plan_sweep(config, ["data.rows=96,80"])
    assert _run(plan)[0] == {}
    table = sweep_table(sweep_results(plan))
    assert "different hold-outs: their figures do not compare" in str(table.caption)
    assert {getattr(cell, "style", "") for column in table.columns for cell in column.cells} == {""}


def test_a_folder_of_something_else_is_left_alone(config: str) -> None:
    plan = plan_sweep(config, ["adapter.rank=2,4"], name="mine")
    plan.folder.mkdir(parents=True)
    (plan.folder / "table.md").write_text("mine")
    with pytest.raises(
        ShepherdError, match="mine holds other files than a sweep's; give the sweep another --name"
    ):
        _run(plan)
    assert [path.name for path in plan.folder.iterdir()] == ["table.md"]


def test_torchrun_is_refused(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shepherd.sweep.running.started_by_torchrun", lambda: (0, 2))
    with pytest.raises(ShepherdError, match="without torchrun"):
        _run(plan_sweep(config, []))


@pytest.mark.usefixtures("instant")
def test_the_command_lists_runs_and_says_what_failed(shepherd: Callable[..., Any], config: str) -> None:
    arguments = ("sweep", config, "allocation.clients=5,80")
    code, printed, _ = shepherd(*arguments, "--dry-run")
    assert code == 0
    assert "clients-5_seed-0  clients=5, seed=0" in printed
    assert printed.splitlines()[-1] == "2 cells, 2 to run."
    code, printed, errors = shepherd(*arguments)
    assert code == 2
    assert "The sweep" in printed
    assert "table.md, table.csv, sweep.png" in printed
    assert "shepherd: 1 of 2 cells failed, the first of them thus: That many clients need more." in errors
    assert "shepherd compare" not in printed  # of one seed there is nothing to pair
    assert "2 cells, 1 to run." in shepherd(*arguments, "--dry-run")[1]
    code, _, errors = shepherd("sweep", config, "--seeds", "0,x")
    assert code == 2
    assert "give whole numbers from 0" in errors
    assert "Traceback" not in errors


@pytest.mark.usefixtures("instant")
def test_the_end_says_which_command_pairs_the_seeds(shepherd: Callable[..., Any], config: str) -> None:
    code, printed, _ = shepherd("sweep", config, "adapter.rank=2,1", "--seeds", "0,1")
    assert code == 0
    assert "`shepherd compare --seeds` pairs the seeds" in " ".join(printed.split())
    (said,) = re.findall(r"^Differences paired by seed.*: shepherd (compare .*)$", printed, re.MULTILINE)
    assert said.endswith("tiny-sweep --seeds --against rank-2_seed-0")
    code, printed, _ = shepherd(*shlex.split(said))
    assert code == 0
    assert "Difference in loss to rank-2, paired by seed" in printed


@pytest.mark.usefixtures("instant")
def test_the_end_says_how_clients_own_adapters_are_tested(shepherd: Callable[..., Any], config: str) -> None:
    swept = ("sweep", config, "personalisation={name: fine_tune, epochs: 1},{name: fine_tune, epochs: 2}")
    code, printed, _ = shepherd(*swept, "data.own_test=0.25")
    assert code == 0
    (said,) = re.findall(r"^Clients' own adapters, of which this .*: shepherd (.*)$", printed, re.MULTILINE)
    command, run = shlex.split(said)
    assert command == "personalise"
    assert (Path(run) / "config.yaml").is_file()
    _, printed, _ = shepherd("sweep", config, "adapter.rank=2,1", "--name", "plain")
    assert "own adapters" not in printed


@pytest.mark.usefixtures("instant")
def test_what_a_line_cannot_say_stands_below(config: str) -> None:
    plan = plan_sweep(config, ["adapter.rank=1,2"])
    assert _run(plan)[0] == {}
    first = plan.cells[0].config.run.directory
    environment = json.loads((first / "environment.json").read_text())
    own = {"adapter": {"own_parameters": 64}}
    (first / "environment.json").write_text(json.dumps(environment | own))
    trained, tested = (json.loads(line) for line in (first / "metrics.jsonl").read_text().splitlines())
    lines = [
        trained | {"simulated_clock_hours": 2.0},
        tested | {"preference_accuracy": 0.75, "preference_margin": 0.5},
    ]
    (first / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_results(plan)
    written = (plan.folder / "table.md").read_text()
    assert (
        "| rank | Seeds | Loss | Pairs right | Margin | Examples | Time | Simulated time | Up | Down |"
        in written
    )
    assert "| 1 | 1 | 3.100 | 0.750 | 0.500 | 0 | 2.0 s | 2 h 0 min |" in written
    assert "Never marked as best: rank=1, of which parts are each client's own" in written
    assert "which is not what it minimises" in written
    one, two = csv.DictReader((plan.folder / "table.csv").read_text().splitlines())
    assert (one["simulated_hours_mean"], one["preference_accuracy_mean"]) == ("2.0", "0.75")
    assert two["simulated_hours_mean"] == two["preference_margin_mean"] == ""
