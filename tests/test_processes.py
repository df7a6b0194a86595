"""Several processes of one run: who does what, and that the result is one process's."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load

from shepherd.backend import LocalBackend, RoundPart, SharedBackend
from shepherd.baselines import Alone, run_baselines
from shepherd.config import RunConfig
from shepherd.errors import ShepherdError
from shepherd.model.adapter import Adapter
from shepherd.processes import Processes
from shepherd.runs import execute
from test_resume import CHANGES
from tiny_runs import Stop, adapter_bytes, lines, named


@given(work=st.lists(st.floats(0, 100), max_size=30), count=st.integers(1, 7))
def test_every_piece_of_work_has_one_process_and_nobody_far_more_than_others(
    work: list[float], count: int
) -> None:
    shares = [Processes(rank, count).share(work) for rank in range(count)]
    assert sorted(place for share in shares for place in share) == list(range(len(work)))
    loads = [sum(work[place] for place in share) for share in shares]
    assert max(loads) - min(loads) <= max(work, default=0) + 1e-9


def test_tokens_are_those_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = SharedBackend(cast(LocalBackend, None), Processes(0, 2), additive=True)
    monkeypatch.setattr(Processes, "gather", lambda _, own: [own, {**own, "tokens": 30}])
    monkeypatch.setattr(Processes, "add_up", lambda _, accumulator: accumulator)
    assert backend.whole(RoundPart(None, [], {}, tokens=12)).tokens == 42


def torchrun(config: RunConfig, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    path = folder / f"{config.run.name}.yaml"
    path.write_text(config.to_yaml())
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "shepherd", "run", str(path), *options]
    places = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, capture_output=True, text=True, timeout=200, env=places)


def adapter(config: RunConfig) -> Adapter:
    return Adapter(load(adapter_bytes(config)))


@pytest.mark.parametrize("stateful", [pytest.param(False, marks=pytest.mark.slow), True])
def test_two_processes_go_on_as_one_would(tiny: dict[str, Any], tmp_path: Path, stateful: bool) -> None:
    training = {**tiny["training"], "stateful": stateful}
    alone, together = (named(tiny, name, training=training) for name in ("alone", "together"))
    execute(alone)
    with pytest.raises(KeyboardInterrupt):
        execute(together, observers=[Stop(after=1)])
    finished = torchrun(together, tmp_path, "--resume")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("frozen") == 1
    assert (adapter(alone) - adapter(together)).norm() < 1e-6 * adapter(alone).norm()
    for one, other in zip(lines(alone), lines(together), strict=True):
        assert one.keys() == other.keys()
        assert {k: v for k, v in one.items() if not isinstance(v, float | dict)} == {
            k: v for k, v in other.items() if not isinstance(v, float | dict)
        }


TIERS = {"name": "tiers", "tiers": [{"share": 0.5, "rank": 1}, {"share": 0.5}]}
SHARED: dict[str, dict[str, Any]] = {
    **CHANGES,
    "hetlora": {"aggregation": "hetlora", "capacity": TIERS},
    "flexlora": {"aggregation": "flexlora", "capacity": TIERS},
    "half": {"transforms": ["half"]},
    "qfedavg": {"aggregation": {"name": "qfedavg", "lr": 1.0}},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHARED)
def test_two_processes_run_every_algorithm_as_one_would(
    tiny: dict[str, Any], tmp_path: Path, name: str
) -> None:
    changes = SHARED[name]
    training = {**tiny["training"], "steps": 2, **changes.get("training", {})}
    values = {**tiny, "evaluation": {"answers": 0}, **changes, "training": training}
    alone, together = named(values, "alone"), named(values, "together")
    execute(alone)
    finished = torchrun(together, tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert (adapter(alone) - adapter(together)).norm() < 1e-5 * adapter(alone).norm()


COLLECTED: list[dict[str, Any]] = [
    {"name": "fedhds", "smallest_group": 2},
    {"name": "relevant", "then": {"name": "fedhds", "smallest_group": 2, "every": "once"}},
]


@pytest.mark.parametrize(
    "coreset", [COLLECTED[0], *(pytest.param(c, marks=pytest.mark.slow) for c in COLLECTED[1:])]
)
def test_two_processes_choose_as_one_would(
    tiny: dict[str, Any], tmp_path: Path, coreset: dict[str, Any]
) -> None:
    alone, together = (
        named(tiny, name, coreset=coreset, participation={"name": "random", "count": 4})
        for name in ("alone", "together")
    )
    execute(alone)
    finished = torchrun(together, tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert (adapter(alone) - adapter(together)).norm() < 1e-6 * adapter(alone).norm()
    for one, other in zip(lines(alone), lines(together), strict=True):
        for figure in ("client", "groups", "surviving_groups", "selected", "examples_held"):
            assert one.get(figure) == other.get(figure)


def test_a_rule_that_needs_every_update_gets_them_in_order(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "averages.py").write_text(
        "from typing import ClassVar\n"
        "from shepherd.aggregation import FedAvg\n"
        "class OneByOne(FedAvg):\n"
        "    additive: ClassVar[bool] = False\n"
        "    name: str = 'averages.OneByOne'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    alone, together = (
        named(tiny, name, rounds=2, aggregation={"name": "averages.OneByOne"})
        for name in ("alone", "together")
    )
    execute(alone)
    finished = torchrun(together, tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert adapter(alone).to_bytes() == adapter(together).to_bytes()
    assert lines(alone) == lines(together)


def test_what_cannot_share_a_cohort_is_refused(tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    trainer = named(tiny, "trainer", training={**tiny["training"], "name": "trainer"})
    with pytest.raises(ShepherdError, match=r"use training\.name=engine under torchrun"):
        execute(trainer)
    with pytest.raises(ShepherdError, match="without torchrun"):
        run_baselines(named(tiny, "baselines"), Alone(drawn=1), "examples", lambda _: nullcontext(Stop(-1)))


def test_processes_that_were_not_told_of_one_another_say_so(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(ShepherdError, match="did not find one another"):
        execute(named(tiny, "lost"))


def test_a_process_that_ends_ends_the_run_and_leaves_it_resumable(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    broken = named(tiny, "broken", training={**tiny["training"], "lr": 1e30})
    finished = torchrun(broken, tmp_path)
    assert finished.returncode != 0
    assert "diverged in round" in finished.stderr
    assert (broken.run.directory / "checkpoints" / "round-000000").is_dir()
