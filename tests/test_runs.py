"""Whole runs, small: what is left behind, and what is left after an accident."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import yaml
from filelock import FileLock
from rich.console import Console

import shepherd
from shepherd.allocate import allocate
from shepherd.config import RunConfig, parse_config
from shepherd.coreset import Cohort, Coreset
from shepherd.data.client_files import write_client_files
from shepherd.data.population import ClientView
from shepherd.errors import ShepherdError
from shepherd.messages import ClientJob
from shepherd.model.adapted import AdaptedModel
from shepherd.observer import Observer, Selection
from shepherd.preparation import deal, prepare
from shepherd.progress import RunProgress
from shepherd.runs import execute, load_run
from shepherd.state import RunState
from shepherd.tree import Tree
from tiny_runs import adapter_bytes, named


class Accident(Exception):
    """Something nobody foresaw."""


class Breaks(Observer):
    """An observer that breaks off at a chosen moment."""

    def __init__(self, what: str, count: int) -> None:
        self.what, self.left = what, count

    def _happen(self, what: str) -> None:
        if what == self.what:
            self.left -= 1
            if self.left == 0:
                raise Accident

    def chosen(self, selection: Selection) -> None:
        self._happen("chosen")

    def cohort(self, round: int, clients: Sequence[str]) -> None:
        self._happen("cohort")

    def client(self, line: dict[str, Any]) -> None:
        self._happen("client")

    def committed(self, state: RunState, lines: Sequence[dict[str, Any]]) -> None:
        self._happen("committed")


class Nobody(Coreset):
    """Asks everybody, and has nobody train in the second round."""

    asks: ClassVar[bool] = True

    def choose(
        self, cohort: Cohort, messages: Mapping[int, Tree], state: Tree
    ) -> tuple[dict[int, Any], Tree]:
        return ({} if cohort.round == 1 else dict.fromkeys(cohort.clients)), state

    def examples(self, view: ClientView, job: ClientJob, model: AdaptedModel) -> np.ndarray:
        return view.rows


def result(directory: Path) -> tuple[Any, ...]:
    """Everything a run computed, to the bit; what depends on the machine is left out."""
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("machine", None)
    files = ("adapter/adapter_model.safetensors", "adapter/adapter_config.json", "answers.jsonl")
    return lines, [(directory / name).read_bytes() for name in files]


def test_a_run_leaves_everything_behind(tiny: dict[str, Any]) -> None:
    finished = shepherd.run(tiny)
    there = {path.name for path in finished.directory.iterdir() if not path.name.startswith(".")}
    assert there == {
        "config.yaml", "environment.json", "allocation.json", "metrics.jsonl", "checkpoints", "adapter",
        "answers.jsonl", "report.html",
    }  # fmt: skip
    lines = [json.loads(line) for line in (finished.directory / "metrics.jsonl").read_text().splitlines()]
    rounds = [line["round"] for line in lines if line["scope"] == "global"]
    assert rounds == [0, 1, 2, 3]
    assert [line["scope"] for line in lines].count("client") == 6
    assert parse_config(yaml.safe_load((finished.directory / "config.yaml").read_text())) == finished.config
    assert load_run(finished.directory).record.final["loss"] == finished.record.final["loss"]


@pytest.mark.parametrize("what", ["chosen", "client", "committed"])
def test_a_run_that_groups_leaves_its_last_selection(tiny: dict[str, Any], what: str) -> None:
    tiny["coreset"] = {"name": "fedhds", "smallest_group": 2}
    whole = execute(named(tiny, "whole")).directory
    sketch = json.loads((whole / "selection.json").read_text())
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    asked = [line for line in lines if line["scope"] == "selection" and line["round"] == 3]
    assert (sketch["round"], sketch["clients_asked"]) == (3, len(asked))
    for key, figure in (("groups_found", "groups"), ("groups_survived", "surviving_groups")):
        assert sketch[key] == sum(line[figure] for line in asked)
    trained = {
        line["client"]: line["selected"] for line in lines if line["scope"] == "client" and line["round"] == 3
    }
    assert {c["name"]: c["selected"] for c in sketch["clients"] if c["selected"]} == trained
    with pytest.raises(Accident):
        execute(named(tiny, "broken"), observers=[Breaks(what, 3)])
    again = execute(named(tiny, "broken"), resume=True).directory
    assert result(again) == result(whole)
    assert (again / "selection.json").read_bytes() == (whole / "selection.json").read_bytes()


@pytest.mark.parametrize("stateful", [False, True])
def test_what_clients_remember_of_their_groups_survives_a_kill(
    tiny: dict[str, Any], tiny_base: Path, stateful: bool
) -> None:
    tiny["coreset"] = {"name": "fedhds-turbo", "proxy": str(tiny_base), "smallest_group": 2}
    tiny["training"]["stateful"] = stateful
    tiny["participation"]["count"] = 4
    whole = execute(named(tiny, "whole")).directory
    with pytest.raises(Accident):
        execute(named(tiny, "broken"), observers=[Breaks("chosen", 3)])
    assert result(execute(named(tiny, "broken"), resume=True).directory) == result(whole)
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    groups: dict[str, set[int]] = {}
    for line in lines:
        if line["scope"] == "selection":
            groups.setdefault(line["client"], set()).add(line["groups"])
    assert all(len(found) == 1 for found in groups.values())


@pytest.mark.parametrize("name", ["random", "kmeans"])
def test_a_run_that_makes_no_groups_leaves_no_selection(tiny: dict[str, Any], name: str) -> None:
    tiny["coreset"] = {"name": name, "count": 2}
    directory = shepherd.run(named(tiny, rounds=1)).directory
    assert not (directory / "selection.json").exists()
    assert "<h2>Selection</h2>" in (directory / "report.html").read_text()


def test_a_round_in_which_nobody_trains_is_told_and_passed(tiny: dict[str, Any]) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tiny["coreset"] = {"name": f"{__name__}.Nobody"}
    tiny["run"]["trackers"] = ["tensorboard"]
    screen = io.StringIO()
    with RunProgress(Console(file=screen, force_terminal=True, width=140), "a run") as progress:
        finished = shepherd.run(named(tiny), observers=[progress])
    assert [row[4] for row in progress.rows] == ["", "2", "0", "2"]  # clients
    assert [bool(row[3]) for row in progress.rows] == [False, True, False, True]  # training loss
    assert ["choosing" in row[-1] for row in progress.rows] == [False, True, True, True]
    assert "selection of round 3" in screen.getvalue()
    losses = finished.record.curve("loss")[1]
    assert losses[1] == losses[2] != losses[3]
    assert "<h2>Selection</h2>" in (finished.directory / "report.html").read_text()
    events = EventAccumulator(str(finished.directory / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("round/train_loss")] == [1, 3]
    assert [event.value for event in events.Scalars("round/clients")] == [2, 0, 2]


def test_training_lowers_the_held_out_loss(tiny: dict[str, Any]) -> None:
    _, losses = execute(named(tiny)).record.curve("loss")
    assert losses[-1] < losses[0]


def test_the_same_config_gives_the_same_bits_and_another_seed_does_not(tiny: dict[str, Any]) -> None:
    one, again = (execute(named(tiny, name)).directory for name in ("one", "again"))
    other = execute(named(tiny, "other", seed=1)).directory
    assert result(one) == result(again)
    assert result(one) != result(other)


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("cohort", "engine"),
        ("client", "engine"),
        ("committed", "engine"),
        ("client", "trainer"),
        pytest.param("cohort", "trainer", marks=pytest.mark.slow),
        pytest.param("committed", "trainer", marks=pytest.mark.slow),
    ],
)
def test_broken_off_anywhere_and_resumed_it_ends_the_same(tiny: dict[str, Any], what: str, name: str) -> None:
    tiny["training"] |= {"name": name, "stateful": True}
    tiny["adapter"] |= {"dropout": 0.1}
    whole = execute(named(tiny, "whole")).directory
    broken = named(tiny, "broken")
    with pytest.raises(Accident):
        execute(broken, observers=[Breaks(what, 2)])
    assert not (broken.run.directory / "adapter").exists()
    assert result(execute(broken, resume=True).directory) == result(whole)


@pytest.mark.parametrize("seconds", [pytest.param(0.0, marks=pytest.mark.slow), 0.15])
def test_killed_outright_and_resumed_it_ends_the_same(tiny: dict[str, Any], seconds: float) -> None:
    whole = execute(named(tiny, "whole", rounds=12)).directory
    killed = named(tiny, "killed", rounds=12)
    path = Path(tiny["run"]["root"]) / "killed.yaml"
    path.write_text(killed.to_yaml())
    process = subprocess.Popen(
        [sys.executable, "-m", "shepherd", "run", str(path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    second = killed.run.directory / "checkpoints" / "round-000002"
    while process.poll() is None and not second.exists():
        time.sleep(0.005)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert any(second.parent.glob("round-*"))  # by now the second may have made room for later ones
    assert result(execute(killed, resume=True).directory) == result(whole)


def test_a_finished_run_resumed_is_left_as_it_is(tiny: dict[str, Any]) -> None:
    finished = execute(named(tiny)).directory
    before = (finished / "metrics.jsonl").read_bytes()
    execute(named(tiny), resume=True)
    assert (finished / "metrics.jsonl").read_bytes() == before


def test_a_run_is_not_overwritten(tiny: dict[str, Any]) -> None:
    execute(named(tiny))
    with pytest.raises(ShepherdError, match=r"already holds a run; add --resume to go on with it"):
        execute(named(tiny))


def test_another_config_cannot_take_a_run_over(tiny: dict[str, Any]) -> None:
    execute(named(tiny))
    tiny["training"]["lr"] = 5e-3
    with pytest.raises(ShepherdError, match=r"was run with training\.lr=0\.01, not 0\.005"):
        execute(named(tiny), resume=True)


def test_a_folder_where_nothing_was_committed_is_free(tiny: dict[str, Any]) -> None:
    tiny["data"]["path"] = "nowhere.jsonl"
    with pytest.raises(ShepherdError, match=r"nowhere\.jsonl"):
        execute(named(tiny))
    tiny["data"]["path"] = "meadow"
    execute(named(tiny))


@pytest.mark.parametrize("name", ["config.yaml", "adapter", "allocation.json"])
@pytest.mark.parametrize("command", [execute, allocate])
def test_a_folder_of_somebody_elses_is_not_written_into(
    tiny: dict[str, Any], name: str, command: Callable[[RunConfig], object]
) -> None:
    config = named(tiny)
    config.run.directory.mkdir(parents=True)
    (config.run.directory / name).write_text("mine")
    with pytest.raises(
        ShepherdError, match=f"is no run directory, and a run would overwrite its {name}; choose"
    ):
        command(config)
    assert [(path.name, path.read_text()) for path in config.run.directory.iterdir()] == [(name, "mine")]


def test_what_allocate_has_written_a_run_may_write_again(tiny: dict[str, Any]) -> None:
    config = named(tiny)
    _, folder = allocate(config)
    (folder / "notes.txt").write_text("mine")
    execute(config)
    assert (folder / "notes.txt").read_text() == "mine"
    allocate(config)
    with pytest.raises(ShepherdError, match=r"was run with allocation\.alpha=1\.0, not 2\.0"):
        allocate(named(tiny, allocation={**tiny["allocation"], "alpha": 2.0}))


def test_an_adapter_whose_checkpoints_are_gone_is_not_overwritten(tiny: dict[str, Any]) -> None:
    config = named(tiny, rounds=1)
    execute(config)
    shutil.rmtree(config.run.directory / "checkpoints")
    before = adapter_bytes(config)
    with pytest.raises(ShepherdError, match="holds an adapter, and no checkpoint"):
        execute(config)
    assert adapter_bytes(config) == before


def test_one_process_at_a_time(tiny: dict[str, Any]) -> None:
    wanted = named(tiny)
    wanted.run.directory.mkdir(parents=True)
    with (
        FileLock(wanted.run.directory / ".lock"),
        pytest.raises(ShepherdError, match=r"in use by another shepherd"),
    ):
        execute(wanted)


def test_what_a_killed_process_left_half_written_is_swept_away(tiny: dict[str, Any]) -> None:
    execute(named(tiny, rounds=1))
    folder = named(tiny).run.directory
    (folder / ".config.yaml.1.partial").write_text("half")
    (folder / "checkpoints" / ".round-000002.1.partial").mkdir()
    execute(named(tiny, rounds=1), resume=True)
    assert not list(folder.rglob("*.partial"))


def test_shortened_or_missing_metrics_are_noticed(tiny: dict[str, Any]) -> None:
    metrics = execute(named(tiny)).directory / "metrics.jsonl"
    os.truncate(metrics, 10)
    with pytest.raises(
        ShepherdError, match=r"metrics\.jsonl is shorter than when its last round was committed"
    ):
        execute(named(tiny), resume=True)
    metrics.unlink()
    with pytest.raises(ShepherdError, match=r"metrics\.jsonl is gone"):
        execute(named(tiny), resume=True)


def test_a_full_disk_ends_in_one_sentence_and_a_resumable_run(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = execute(named(tiny, "whole")).directory
    wanted = named(tiny, "full")
    real, calls = os.fsync, []

    def fills_up(descriptor: int) -> None:
        calls.append(descriptor)
        if (wanted.run.directory / "checkpoints" / "round-000001").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fills_up)
    with pytest.raises(ShepherdError, match=r"Cannot write .*: the disk is full; free some space"):
        execute(wanted)
    monkeypatch.setattr(os, "fsync", real)
    assert result(execute(wanted, resume=True).directory) == result(whole)


def test_a_vanished_data_file_can_be_brought_back(tiny: dict[str, Any], tmp_path: Path) -> None:
    from shepherd.data.meadow import meadow

    path, away = tmp_path / "mine.jsonl", tmp_path / "away.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in meadow(96)))
    tiny["data"]["path"] = str(path)
    whole = execute(named(tiny, "whole")).directory
    with pytest.raises(Accident):
        execute(named(tiny), observers=[Breaks("committed", 2)])
    path.rename(away)
    with pytest.raises(ShepherdError, match=r"mine\.jsonl"):
        execute(named(tiny), resume=True)
    away.rename(path)
    assert result(execute(named(tiny), resume=True).directory) == result(whole)


def test_changed_data_is_not_mixed_into_a_run(tiny: dict[str, Any], tmp_path: Path) -> None:
    from shepherd.data.meadow import meadow

    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in meadow(96)))
    tiny["data"]["path"] = str(path)
    with pytest.raises(Accident):
        execute(named(tiny), observers=[Breaks("committed", 2)])
    path.write_text("".join(json.dumps(row) + "\n" for row in meadow(96, seed=1)))
    with pytest.raises(ShepherdError, match=r"The (training data|hold-out) has changed since"):
        execute(named(tiny), resume=True)


def test_the_adapter_loads_with_peft_and_nothing_else(tiny: dict[str, Any], tiny_base: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    finished = execute(named(tiny))
    tokens = torch.arange(1, 9).view(1, 8)
    loaded = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32), finished.directory / "adapter"
    )
    with torch.no_grad():
        ours, theirs = (model(input_ids=tokens).logits for model in (finished.model.peft, loaded.eval()))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert finished.adapter().norm() > 0


def test_clients_from_files_are_the_clients_they_were_written_from(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    first = named(tiny)
    dealt = deal(first)
    write_client_files(tmp_path / "clients", dealt.train, dealt.test, dealt.allocated)
    tiny["allocation"] = {"name": "files", "path": str(tmp_path / "clients")}
    one, other = execute(first).record, execute(named(tiny, "files")).record
    assert one.final["loss"] == other.final["loss"]


def test_what_is_kept_for_own_tests_is_not_counted_as_trained_on(tiny: dict[str, Any]) -> None:
    whole, kept = named(tiny, "whole"), named(tiny, "kept", data={**tiny["data"], "own_test": 0.25})
    facts = []
    for config in (whole, kept):
        execute(config.model_copy(update={"rounds": 0}))
        facts.append(json.loads((config.run.directory / "environment.json").read_text())["data"])
    assert "own_test_rows" not in facts[0]
    assert facts[1]["own_test_rows"] > 0
    assert facts[1]["training_rows"] == facts[0]["training_rows"] - facts[1]["own_test_rows"]
    assert facts[1]["training_rows"] == sum(map(len, deal(kept).allocated.rows))


def test_a_small_hold_out_is_said(tiny: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    for count, said in ((2, True), (3, False)):
        caplog.clear()
        held_out = len(prepare(named(tiny, data={**tiny["data"], "holdout": {"count": count}})).dealt.test)
        assert (held_out < 20) == said
        assert (f"Only {held_out} examples are held out, so what is measured" in caplog.text) == said


def test_nothing_held_out_is_refused(tiny: dict[str, Any]) -> None:
    tiny["data"]["holdout"] = {"name": "none"}
    with pytest.raises(ShepherdError, match=r"Nothing is held out.*set data\.holdout"):
        execute(named(tiny))


@pytest.mark.parametrize("given", [None, 5, ["quickstart"], b"quickstart"])
def test_what_is_no_config_is_refused_in_a_sentence(given: Any) -> None:
    with pytest.raises(
        ShepherdError, match=r" is no config; give a RunConfig, a mapping such as \{'rounds': 3\}, the"
    ):
        shepherd.run(given)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShepherdError, match=r"is no run directory"):
        load_run(tmp_path)
