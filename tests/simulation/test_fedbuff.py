"""Buffered asynchronous aggregation, against a simulation that goes through time in small steps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from formulas import ZERO, devices, federation, scope

from shepherd.config import parse_config
from shepherd.errors import ShepherdError
from shepherd.randomness import generator

SIZES = [3, 5, 8, 13, 21, 34]
STEP = 0.5


@dataclass
class Worker:
    client: int
    left: float
    version: int
    update: torch.Tensor


def _in_small_steps(
    speeds: list[float], concurrency: int, buffer: int, rounds: int
) -> tuple[list[torch.Tensor], list[float], list[list[tuple[int, int]]]]:
    """Return the adapters, the clock, and who (client, staleness) was aggregated, of every round.

    Nothing takes time but computing; whoever is done makes room for the next at once, until the buffer is full.
    """
    adapter, now = torch.zeros(3, dtype=torch.float64), 0.0
    at_work: list[Worker] = []
    adapters, clock, used = [], [], []
    for round in range(rounds):
        busy = {worker.client for worker in at_work}
        idle = [client for client in range(len(speeds)) if client not in busy]
        order = generator(0, "fedbuff", round).permutation(len(idle))
        queue = [idle[place] for place in order][: concurrency - len(busy) + buffer - 1]
        done: list[Worker] = []

        def fill(queue: list[int] = queue, round: int = round, adapter: torch.Tensor = adapter) -> None:
            while queue and len(at_work) < concurrency:
                client = queue.pop(0)
                update = torch.tensor([1.0, client, float(adapter[0])], dtype=torch.float64)
                at_work.append(Worker(client, 7 * SIZES[client] / speeds[client], round, update))

        fill()
        while len(done) < buffer and at_work:
            now += STEP
            for worker in at_work:
                worker.left -= STEP
            for worker in sorted(at_work, key=lambda worker: worker.client):
                if worker.left <= 1e-9 and len(done) < buffer:
                    done.append(worker)
                    at_work.remove(worker)
                    if len(done) < buffer:
                        fill()
        weights = [SIZES[worker.client] for worker in done]
        steps = [
            worker.update * weight * (1 + round - worker.version) ** -0.5
            for worker, weight in zip(done, weights, strict=True)
        ]
        adapter = adapter + torch.stack(steps).sum(0) / sum(weights)
        adapters.append(adapter)
        clock.append(now)
        used.append(sorted((worker.client, round - worker.version) for worker in done))
    return adapters, clock, used


@pytest.mark.parametrize(("concurrency", "buffer"), [(3, 2), (2, 3), (4, 1), (6, 6)])
def test_every_round_is_what_a_simulation_in_small_steps_gives(
    tmp_path: Path, concurrency: int, buffer: int
) -> None:
    speeds = [1.0, 2.0, 0.5, 2.0, 1.0, 2.0]
    rows = [{"flops": speed, "download_bytes_per_s": 1e15, "upload_bytes_per_s": 1e15} for speed in speeds]
    system = {
        "name": "fedbuff",
        "concurrency": concurrency,
        "buffer": buffer,
        "devices": devices(tmp_path, rows),
    }
    simulated, backend, states, lines = federation(system, SIZES, rounds=5)
    simulated.run(simulated.begin(ZERO))
    adapters, clock, used = _in_small_steps(speeds, concurrency, buffer, 5)
    for number, (adapter, end, whom) in enumerate(zip(adapters, clock, used, strict=True), start=1):
        arrived = scope(lines[number], "client")
        assert sorted((line["number"], line["staleness"]) for line in arrived) == whom
        (line,) = scope(lines[number], "round")
        assert line["simulated_clock_hours"] * 3600 == pytest.approx(end, abs=1e-6)
        torch.testing.assert_close(states[number].adapter["w"].double(), adapter, rtol=1e-5, atol=1e-6)
    arrived = sum(len(scope(new, "client")) for new in lines)
    assert len(backend.jobs) == arrived + len(states[-1].system["flights"])


def test_a_buffer_of_everybody_is_the_plain_run() -> None:
    plain, _, expected, _ = federation(None, SIZES)
    plain.run(plain.begin(ZERO))
    system = {"name": "fedbuff", "concurrency": len(SIZES), "buffer": len(SIZES)}
    simulated, _, states, _ = federation(system, SIZES)
    simulated.run(simulated.begin(ZERO))
    for one, other in zip(expected, states, strict=True):
        assert torch.equal(one.adapter["w"], other.adapter["w"])
        assert one.clients == other.clients


def test_who_is_at_work_is_not_asked_again_and_keeps_its_state_once() -> None:
    system = {"name": "fedbuff", "concurrency": 4, "buffer": 2, "dropout": {"after": 0.3}}
    simulated, backend, states, lines = federation(system, [10] * 8, rounds=8)
    simulated.run(simulated.begin(ZERO))
    at_work: set[int] = set()
    for number, (state, new) in enumerate(zip(states[1:], lines[1:], strict=True)):
        asked = {client for round, client in backend.jobs if round == number}
        assert not asked & at_work
        at_work = set(map(int, state.system["flights"]))
        ended = {line["number"] for line in (*scope(new, "client"), *scope(new, "missing"))}
        assert len(at_work) <= 4
        assert not ended & at_work
    used = [line["number"] for new in lines for line in scope(new, "client")]
    for client in range(8):
        kept: Any = states[-1].clients.get(str(client), {"training": {"times": 0}})
        assert kept["training"]["times"] == used.count(client)


def test_updates_that_are_too_old_are_thrown_away(tmp_path: Path) -> None:
    rows = [{"flops": 20.0}] * 3 + [{"flops": 1.0}]
    system = {
        "name": "fedbuff",
        "concurrency": 4,
        "buffer": 1,
        "max_staleness": 4,
        "devices": devices(tmp_path, rows),
    }
    simulated, _, _, lines = federation(system, [100] * 4, rounds=80)
    simulated.run(simulated.begin(ZERO))
    everything = [line for new in lines for line in new]
    assert {line["number"] for line in scope(everything, "missing")} == {3}
    assert {line["fate"] for line in scope(everything, "missing")} == {"late"}
    assert max(line["staleness"] for line in scope(everything, "client")) <= 4


@pytest.mark.parametrize(
    ("concurrency", "buffer", "said"),
    [
        (4, 6, "waits for everybody here"),
        (1, 3, "system.concurrency is 1"),
        (3, 5, None),
        (6, 5, None),
    ],
)
def test_rounds_that_wait_for_everybody_are_said_to(
    concurrency: int, buffer: int, said: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    system = {"name": "fedbuff", "concurrency": concurrency, "buffer": buffer}
    simulated, _, _, lines = federation(system, SIZES, rounds=8)
    simulated.run(simulated.begin(ZERO))
    stale = any(scope(new, "round")[0]["staleness"] for new in lines[1:])
    most = simulated.config.participation.most_chosen(len(SIZES))
    simulated.config.system.warn_of_cohort(most)  # type: ignore[union-attr]
    assert stale == (said is None)
    assert [said is not None and said in one for one in caplog.messages] == [True] * (said is not None)


@pytest.mark.parametrize("rule", ["flora", "flexlora", "fedsvd"])
def test_rules_that_turn_or_move_the_factors_are_refused(rule: str) -> None:
    with pytest.raises(
        ShepherdError, match=r"cannot use updates of older adapters, as system.name=fedbuff .*fedavg"
    ):
        parse_config({"system": "fedbuff", "aggregation": rule})


def test_who_goes_away_half_way_through_its_training_keeps_nothing(tmp_path: Path) -> None:
    # Both need 70 s at work; the first is away from 35 s on.
    there = tmp_path / "there.csv"
    there.write_text("client,on_s,off_s\n0,0,35\n1,0,1000\n")
    system = {
        "name": "fedbuff",
        "concurrency": 2,
        "buffer": 1,
        "devices": devices(tmp_path, [{}, {}]),
        "availability": {"name": "intervals", "path": str(there), "assign": "by_name"},
    }
    simulated, _, states, lines = federation(system, [10, 10], rounds=1)
    simulated.run(simulated.begin(ZERO))
    assert [line["fate"] for line in scope(lines[-1], "missing")] == ["dropped"]
    assert list(states[-1].clients) == ["1"]
