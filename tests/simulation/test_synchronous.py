"""Rounds that wait, against a simulation in small steps of time, and against the same run without a system."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from formulas import ZERO, devices, federation, scope

from shepherd.config import parse_config
from shepherd.errors import ShepherdError
from shepherd.observer import Selection

SIZES = [10, 20, 30, 40]
#: Of the adapter's wire form, which a client is sent; it sends 40.
DOWN = len(ZERO.to_bytes())


def test_any_devices_without_losses_or_deadlines_change_nothing_but_the_clock() -> None:
    plain, _, expected, _ = federation(None, SIZES)
    plain.run(plain.begin(ZERO))
    for system in ({"name": "synchronous"}, {"devices": {"name": "lognormal", "kind": "server"}}):
        simulated, _, states, lines = federation(system, SIZES)
        simulated.run(simulated.begin(ZERO))
        for one, other in zip(expected, states, strict=True):
            assert torch.equal(one.adapter["w"], other.adapter["w"])
            assert one.clients == other.clients
        clocks = [scope(new, "round")[0]["simulated_clock_hours"] for new in lines[1:]]
        assert clocks == sorted(clocks)
        assert clocks[0] > 0


@pytest.mark.parametrize("deadline", [None, 120.0, 230.0])
@pytest.mark.parametrize("wait_for", [1.0, 0.5])
def test_a_round_is_what_a_simulation_in_small_steps_gives(
    tmp_path: Path, deadline: float | None, wait_for: float
) -> None:
    rows = [
        {"flops": f, "upload_bytes_per_s": u} for f, u in ((1.0, 4.0), (5.0, 1.0), (1.0, 40.0), (2.0, 0.5))
    ]
    system = {"devices": devices(tmp_path, rows), "deadline_s": deadline, "wait_for": wait_for}
    simulated, _, states, lines = federation(system, SIZES, rounds=1)
    simulated.run(simulated.begin(ZERO))
    closed, there = _in_small_steps(rows, deadline, math.ceil(wait_for * 4))
    (line,) = scope(lines[1], "round")
    assert line["simulated_seconds"] == pytest.approx(closed, abs=0.02)
    assert [client["number"] for client in scope(lines[1], "client")] == sorted(there)
    ends = [end for client in scope(lines[1], "client") for end in [client["simulated_seconds"]]]
    assert line["idle_share"] == pytest.approx(sum(closed - end for end in ends) / (4 * closed), abs=1e-3)
    late = scope(lines[1], "missing")
    assert {client["fate"] for client in late} <= {"late"}
    assert line["clients_late"] == len(late) == 4 - len(there)
    assert line["wasted_bytes"] == sum(client["bytes_up"] + client["bytes_down"] for client in late)
    assert line["bytes_down"] == 4 * DOWN
    weights = [SIZES[client] for client in there]
    mean = sum(w * c for w, c in zip(weights, there, strict=True)) / max(1, sum(weights))
    assert float(states[1].adapter["w"][1]) == pytest.approx(mean, rel=1e-6)


def _in_small_steps(
    rows: list[dict[str, float]], deadline: float | None, wanted: int
) -> tuple[float, list[int]]:
    """Step by hundredths of a second: bytes arrive, then tokens are computed, then bytes are sent."""
    step, now = 0.01, 0.0
    left = [[DOWN, 7.0 * size, 40.0] for size in SIZES]
    there: list[int] = []
    while len(there) < wanted and (deadline is None or now < deadline - step / 2):
        now += step
        for client, (row, parts) in enumerate(zip(rows, left, strict=True)):
            time = step
            for part, speed in enumerate((1e3, row["flops"], row["upload_bytes_per_s"])):
                used = min(time, parts[part] / speed)
                parts[part] -= used * speed
                time -= used
            if sum(parts) <= 1e-9 and client not in there:
                there.append(client)
    return now, sorted(there)


def test_over_selection_waits_for_as_many_as_participation_wants(tmp_path: Path) -> None:
    rows = [{"flops": flops} for flops in (1.0, 2.0, 3.0, 4.0)]
    over = {"name": "random", "count": 2, "over_selection": 2.0}
    simulated, _, _, lines = federation(
        {"devices": devices(tmp_path, rows)}, [10] * 4, rounds=1, participation=over
    )
    simulated.run(simulated.begin(ZERO))
    assert [line["number"] for line in scope(lines[1], "client")] == [2, 3]
    assert [line["fate"] for line in scope(lines[1], "missing")] == ["late", "late"]


def test_who_is_lost_early_is_not_trained_and_who_is_lost_late_goes_back_to_what_it_kept() -> None:
    fates: dict[str, int] = {}
    for stage in ("before", "during", "after"):
        system = {"dropout": {stage: 0.5}, "devices": {"name": "lognormal"}}
        simulated, backend, states, lines = federation(system, [10] * 40, rounds=1)
        simulated.run(simulated.begin(ZERO))
        missing = scope(lines[1], "missing")
        fates[stage] = len(missing)
        gone = {line["number"] for line in missing}
        trained = {client for _, client in backend.jobs}
        kept = {int(client) for client in states[1].clients}
        assert {line["fate"] for line in missing} == {"dropped"}
        assert trained == (set(range(40)) if stage == "after" else set(range(40)) - gone)
        assert kept == set(range(40)) - gone
        for line in missing:
            if stage == "before":
                assert line["bytes_down"] == line["tokens"] == line["simulated_seconds"] == 0
            else:
                assert line["bytes_down"] == DOWN
                assert 0 <= line["tokens"] <= 70
                assert (line["tokens"] == 70) == (stage == "after")
        assert scope(lines[1], "round")[0]["clients_dropped"] == len(gone)
    assert all(8 < count < 32 for count in fates.values())


def test_who_is_late_at_the_deadline_keeps_nothing(tmp_path: Path) -> None:
    rows = [{"flops": 10.0}, {"flops": 1.0}, {"flops": 10.0, "upload_bytes_per_s": 0.1}]
    system = {"devices": devices(tmp_path, rows), "deadline_s": 50.0}
    simulated, _, states, lines = federation(system, [10] * 3, rounds=1)
    simulated.run(simulated.begin(ZERO))
    assert set(states[1].clients) == {"0"}
    late = {line["number"]: line for line in scope(lines[1], "missing")}
    assert late[1]["bytes_up"] == 0
    assert 45 < late[1]["tokens"] <= 50
    assert late[2]["tokens"] == 70
    assert 0 < late[2]["bytes_up"] < 40


def test_who_cannot_hold_the_model_is_never_asked(tmp_path: Path) -> None:
    rows = [{}, {"memory_bytes": 99.0}, {}]
    simulated, backend, _, lines = federation({"devices": devices(tmp_path, rows)}, [10] * 3)
    simulated.run(simulated.begin(ZERO))
    assert {client for _, client in backend.jobs} == {0, 2}
    assert {scope(new, "round")[0]["clients_too_small"] for new in lines[1:]} == {1}


def test_devices_too_small_are_said_and_a_population_of_them_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    some, _, _, _ = federation({"devices": devices(tmp_path, [{}, {"memory_bytes": 99.0}])}, [10] * 2)
    facts = some.config.system.facts(some.names, 0, some.work)  # type: ignore[union-attr]
    assert facts["clients_too_small"] == 1
    assert "1 of 2 clients are never asked: the model takes 100 B to train" in caplog.text
    none, _, _, _ = federation({"devices": devices(tmp_path, [{"memory_bytes": 99.0}])}, [10])
    with pytest.raises(ShepherdError, match=r"No client's device can hold the model, which takes 100 B"):
        none.config.system.facts(none.names, 0, none.work)  # type: ignore[union-attr]


def test_the_clock_goes_on_when_nobody_is_there(tmp_path: Path) -> None:
    trace = tmp_path / "there.csv"
    trace.write_text("client,on_s,off_s\n0,1000,2000\n1,1000,1030\n")
    there = {"name": "intervals", "path": str(trace), "assign": "by_name"}
    system = {"devices": devices(tmp_path, [{}, {}]), "availability": there, "pause_s": 700}
    simulated, _, _, lines = federation(system, [10, 10])
    simulated.run(simulated.begin(ZERO))
    rounds = [scope(new, "round")[0] for new in lines[1:]]
    assert [line["clients"] for line in rounds] == [0, 0, 1, 1]
    assert [line["clients_away"] for line in rounds] == [2, 2, 1, 1]
    assert rounds[1]["simulated_clock_hours"] == 1400 / 3600


def test_who_goes_away_is_lost_then(tmp_path: Path) -> None:
    trace = tmp_path / "there.csv"
    trace.write_text("client,on_s,off_s\n0,0,2000\n1,0,30\n")
    there = {"name": "intervals", "path": str(trace), "assign": "by_name"}
    system = {"devices": devices(tmp_path, [{}, {}]), "availability": there}
    simulated, _, states, lines = federation(system, [10, 10], rounds=1)
    simulated.run(simulated.begin(ZERO))
    (lost,) = scope(lines[1], "missing")
    assert (lost["number"], lost["fate"], lost["simulated_seconds"]) == (1, "dropped", 30.0)
    assert lost["tokens"] == 30
    assert set(states[1].clients) == {"0"}


@pytest.mark.parametrize("name", ["synchronous", "fedbuff"])
def test_a_loop_that_goes_on_from_any_state_does_what_an_uninterrupted_one_does(name: str) -> None:
    own: dict[str, Any] = {"deadline_s": 400.0} if name == "synchronous" else {"concurrency": 5, "buffer": 3}
    system = {"name": name, "dropout": {"during": 0.1, "after": 0.2}, "availability": "diurnal", **own}
    whole, _, states, lines = federation(system, [5 + i for i in range(30)], rounds=6)
    whole.run(whole.begin(ZERO))
    for stop in range(6):
        rest, _, after, again = federation(system, [5 + i for i in range(30)], rounds=6)
        rest.run(states[stop])
        assert again == lines[stop + 1 :]
        assert torch.equal(after[-1].adapter["w"], states[-1].adapter["w"])


@pytest.mark.parametrize(
    ("system", "said"),
    [
        ({"name": "fedbuf"}, "did you mean 'fedbuff'"),
        ({"devices": {"shares": {"phon": 1.0}}}, "did you mean 'phone'"),
        ({"devices": {"shares": {"phone": 0.5}}}, "adds up to 0.5; make it 1"),
        ({"devices": {"name": "lognormal", "kind": "fridge"}}, "no kind of device called 'fridge'"),
        ({"devices": {"name": "lognormal", "flops": 0}}, "greater than 0"),
        ({"dropout": {"before": 0.6, "after": 0.6}}, "add up to more than 1"),
        ({"wait_for": 0.5, "wait_for_count": 2}, "give wait_for or wait_for_count"),
        ({"deadline_s": 0}, "greater than 0"),
        ({"name": "fedbuff", "deadline_s": 10}, "no key 'deadline_s'"),
        ({"name": "fedbuff", "buffer": 0}, "greater than 0"),
    ],
)
def test_what_cannot_be_is_refused_with_the_config(system: dict[str, Any], said: str) -> None:
    with pytest.raises(ShepherdError, match=said):
        parse_config({"system": system})


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (
            {"deadline_s": 0.01},
            "2 clients not there by the deadline (raise system.deadline_s, which is 0.01).",
        ),
        ({"dropout": {"before": 1.0}}, "2 clients lost on the way (system.dropout"),
    ],
)
def test_why_nobody_arrived_is_said(own: dict[str, Any], said: str, caplog: pytest.LogCaptureFixture) -> None:
    simulated, _, _, _ = federation({"name": "synchronous", **own}, [10, 10], rounds=1)
    simulated.run(simulated.begin(ZERO))
    assert f"No update arrived in round 1: {said}" in caplog.text
    assert "Nobody was left" not in caplog.text


def test_a_round_that_nobody_could_be_chosen_for_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is there before the second hour."""
    (tmp_path / "there.csv").write_text("client,on_s,off_s\n0,7200,9000\n1,7200,9000\n")
    there = {"name": "intervals", "path": str(tmp_path / "there.csv"), "assign": "by_name"}
    everybody = {"name": "trace", "then": {"name": "random", "fraction": 1.0}}
    simulated, _, _, _ = federation(
        {"name": "synchronous", "availability": there}, [10, 10], rounds=1, participation=everybody
    )
    simulated.run(simulated.begin(ZERO))
    assert "Nobody that could be chosen was there in round 1." in caplog.text


def test_who_was_there_and_has_nothing_to_train_on_is_not_said_to_be_late(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated, _, _, _ = federation({"name": "synchronous", "deadline_s": 0.01}, [10, 10], rounds=1)
    monkeypatch.setattr(
        type(simulated),
        "_select",
        lambda self, everybody, opening: Selection(opening.number, {}, {}, {}, []),
    )
    simulated.run(simulated.begin(ZERO))
    assert "Nobody was left with anything to train on in round 1." in caplog.text
    assert "deadline" not in caplog.text
