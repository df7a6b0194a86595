"""Devices by distribution and from files, and when they are there."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from shepherd.errors import ShepherdError
from shepherd.participation import Candidates
from shepherd.simulation import Fleet, Workload
from shepherd.simulation.availability import Always, Diurnal
from shepherd.simulation.classes import Classes, Lognormal
from shepherd.simulation.device_file import DeviceFile
from shepherd.simulation.devices import PROFILE_COLUMNS
from shepherd.simulation.dropout import Dropout
from shepherd.simulation.intervals import Intervals
from shepherd.simulation.kinds import KINDS

NAMES = [str(client) for client in range(5000)]
ROW = dict.fromkeys(PROFILE_COLUMNS, 1.0)


def test_a_client_has_the_same_device_alone_and_in_a_population_however_large() -> None:
    for devices in (Classes(), Lognormal(kind="laptop")):
        every = devices.profiles(range(5000), NAMES, 3)
        for client in (0, 255, 256, 4321):
            alone = devices.profiles([client], [], 3)
            assert all(getattr(alone, name)[0] == getattr(every, name)[client] for name in PROFILE_COLUMNS)
        assert devices.profiles([10**6], [], 3).flops[0] == devices.profiles([7, 10**6], [], 3).flops[1]
        assert not np.array_equal(devices.profiles(range(50), NAMES, 4).flops, every.flops[:50])


def test_devices_lie_about_the_medians_of_their_kind() -> None:
    found = Lognormal(kind="phone").profiles(range(5000), NAMES, 0)
    phone = KINDS["phone"]
    assert np.median(found.flops) == pytest.approx(phone.flops, rel=0.1)
    assert np.log(found.flops).std() == pytest.approx(phone.compute_spread, rel=0.05)
    assert np.log(found.memory_bytes).std() == pytest.approx(phone.memory_spread, rel=0.05)
    np.testing.assert_allclose(found.download_bytes_per_s * found.latency_s, 4.5e6 * 0.04)
    alike = Lognormal(kind="server", compute_spread=0, flops=5.0).profiles(range(10), NAMES, 0)
    assert set(alike.flops) == {5.0}


def test_kinds_have_their_shares_and_may_be_ones_own() -> None:
    own = KINDS["phone"].model_copy(update={"flops": 7.0, "compute_spread": 0.0})
    found = Classes(shares={"box": 0.25, "server": 0.75}, kinds={"box": own}).profiles(range(5000), NAMES, 0)
    assert np.mean(found.flops == 7.0) == pytest.approx(0.25, abs=0.02)


def test_a_file_gives_devices_by_name_or_by_draw(tmp_path: Path) -> None:
    path = tmp_path / "devices.csv"
    path.write_text(f"client,{','.join(PROFILE_COLUMNS)}\nb,2,1,1,1,0\na,1,1,1,1,0\n")
    named = DeviceFile(path=str(path), assign="by_name")
    assert named.profiles([0, 1], ["a", "b"], 0).flops.tolist() == [1.0, 2.0]
    drawn = DeviceFile(path=str(path)).profiles(range(1000), NAMES, 0).flops
    assert np.mean(drawn == 2.0) == pytest.approx(0.5, abs=0.1)
    before = named.check(["a", "b"])
    path.write_text(path.read_text().replace("2,1,1,1,0", "22,1,1,1,0"))
    assert named.check(["a", "b"]) != before
    assert named.profiles([1], ["a", "b"], 0).flops.tolist() == [22.0]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**ROW, "flops": None}, r":2 has an empty 'flops'; a trace may have no gaps: give a number"),
        (dict.fromkeys(PROFILE_COLUMNS[1:], 1.0), r":2 has no 'flops'; a trace may have no gaps"),
        ({**ROW, "latency_s": -1}, r":2 has the negative 'latency_s' -1; give a number of at least 0"),
        ({**ROW, "memory_bytes": 0}, r":2 has 0 as its 'memory_bytes'; give a number above 0"),
        ({**ROW, "flops": "fast"}, r":2 has 'fast' as its 'flops'; give a number"),
        ({**ROW, "flops": math.nan}, r":2 has nan as its 'flops'; give a number"),
        ({**ROW, "flop": 1}, r":2 has the unknown column 'flop'; did you mean 'flops'\?"),
        ({**ROW, "client": ""}, r":2 has an empty 'client'; a trace may have no gaps: say whose row it is"),
        ({**ROW, "client": "a"}, r":2 is a second row of client 'a'; leave one"),
        ({**ROW, "client": "c"}, r"has no row of client 'b', and a trace may have no gaps; add it, or"),
    ],
)
def test_files_of_devices_are_refused_by_their_line(
    tmp_path: Path, row: dict[str, object], said: str
) -> None:
    path = tmp_path / "devices.jsonl"
    row = row if "client" in row else {"client": "b", **row}
    path.write_text(json.dumps({"client": "a", **ROW}) + "\n" + json.dumps(row) + "\n")
    with pytest.raises(ShepherdError, match=said):
        DeviceFile(path=str(path), assign="by_name").check(["a", "b"])


def test_a_file_that_is_not_there_or_empty_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "devices.csv"
    with pytest.raises(
        ShepherdError, match=r"Cannot read .*devices.csv: No such file.*; check system.devices.path"
    ):
        DeviceFile(path=str(path)).check(NAMES)
    path.write_text(",".join(PROFILE_COLUMNS) + "\n")
    with pytest.raises(ShepherdError, match=r"holds no row; give at least one with the columns flops, "):
        DeviceFile(path=str(path)).check(NAMES)


def test_by_day_a_client_is_there_for_its_hours_of_every_day() -> None:
    rule = Diurnal(hours=6, begins_at=22, spread_hours=0)
    for day in range(3):
        for hour, there in (
            (21.9, False),
            (22.1, True),
            (23.9, True),
            (24.1, True),
            (27.9, True),
            (28.1, False),
        ):
            now = 3600 * (24 * day + hour)
            (until,) = rule.until([5], NAMES, 0, now)
            assert until == pytest.approx(3600 * (24 * day + 28) if there else now)
    spread = Diurnal(hours=6, begins_at=22, spread_hours=2).until(range(4000), NAMES, 0, 25 * 3600.0)
    assert np.mean(spread > 25 * 3600.0) == pytest.approx(
        0.87, abs=0.03
    )  # all but those that come late, or are gone


def test_intervals_are_as_they_are_written_and_come_again(tmp_path: Path) -> None:
    path = tmp_path / "there.csv"
    path.write_text("client,on_s,off_s\na,50,60\na,10,20\nb,0,5\n")
    once = Intervals(path=str(path), assign="by_name")
    again = once.model_copy(update={"period_s": 100.0})
    names = ["a", "b"]
    assert once.check(names) == again.check(names) != ""
    for moment, ends in ((0, (0, 5)), (10, (20, 10)), (20, (20, 20)), (55, (60, 55)), (110, (110, 110))):
        assert tuple(once.until([0, 1], names, 0, float(moment))) == ends
    assert tuple(again.until([0, 1], names, 0, 110.0)) == (120.0, 110.0)
    with pytest.raises(ShepherdError, match=r"ends at 60 s, after system\.availability\.period_s=55"):
        once.model_copy(update={"period_s": 55.0}).check(names)
    with pytest.raises(ShepherdError, match="has no row of client 'c'"):
        once.check(["a", "b", "c"])


def test_who_comes_again_as_it_leaves_was_there_all_the_time(tmp_path: Path) -> None:
    path = tmp_path / "there.csv"
    # a by night, written as two halves of a period of 100; b always; c in two parts that touch.
    path.write_text("client,on_s,off_s\na,0,30\na,80,100\nb,0,50\nb,50,100\nc,10,20\nc,20,40\n")
    once = Intervals(path=str(path), assign="by_name")
    again = once.model_copy(update={"period_s": 100.0})
    names = ["a", "b", "c"]
    assert again.check(names)
    assert tuple(once.until([0, 1, 2], names, 0, 90.0)) == (100, 100, 90)
    assert tuple(once.until([0, 1, 2], names, 0, 15.0)) == (30, 100, 40)
    assert tuple(again.until([0, 1, 2], names, 0, 90.0)) == (130, np.inf, 90)
    assert tuple(again.until([0, 1, 2], names, 0, 220.0)) == (230, np.inf, 240)
    assert tuple(again.until([0], names, 0, 30.0)) == (30,)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("a,10,10\n", r":2 ends at 10 s and begins at 10 s; an interval ends after it begins"),
        ("a,0,10\na,5,15\n", r":3 overlaps another interval of client 'a'; join them"),
        ("a,,10\n", r":2 has an empty 'on_s'; a trace may have no gaps"),
        ("a,-1,10\n", r":2 has the negative 'on_s' -1"),
        ("a,0\n", r":2 has 2 fields where the header names 3 columns"),
    ],
)
def test_files_of_intervals_are_refused_by_their_line(tmp_path: Path, rows: str, said: str) -> None:
    path = tmp_path / "there.csv"
    path.write_text("client,on_s,off_s\n" + rows)
    with pytest.raises(ShepherdError, match=said):
        Intervals(path=str(path)).check(["a"])


def test_participation_may_ask_who_is_there_and_how_long_it_would_take(tmp_path: Path) -> None:
    work = Workload(
        **{"frozen": 10**6, "trainable": 10**3, "weight_bytes": 10**6, "tokens_per_example": 50.0},
        repeated=lambda n: 2 * n,
        bytes_down=lambda client: 3000 * client,
        bytes_up=lambda client: 500 * client,
    )
    kind = Lognormal(kind="phone", memory_spread=2.0, memory_bytes=1e6)
    candidates = Candidates(0, 0, [5] * 1000)
    fleet = Fleet.of(kind, Diurnal(), candidates, work, 3600.0, busy=frozenset({3}))
    profiles = kind.profiles(range(1000), [], 0)
    there = Diurnal().until(range(1000), [], 0, 3600.0) > 3600.0
    for client in range(1000):
        able = there[client] and profiles.memory_bytes[client] >= 10**6 + 12 * 10**3 and client != 3
        assert fleet.available(client) == able
    operations = 2 * 5 * 50 * (4 * (10**6 + 10**3) + 2 * 10**3)
    expected = operations / profiles.flops[700] + 2 * profiles.latency_s[700]
    expected += 2.1e6 / profiles.download_bytes_per_s[700] + 3.5e5 / profiles.upload_bytes_per_s[700]
    assert fleet.expected_seconds(700, 5) == pytest.approx(expected)
    assert Fleet.of(kind, Always(), candidates, work, 0.0).available(7) == (
        profiles.memory_bytes[7] >= 1_012_000
    )


def test_all_parameters_trained_are_six_operations_a_token_and_a_frozen_base_four() -> None:
    assert Workload(frozen=0, trainable=10).flops_per_token == 60
    assert Workload(frozen=10, trainable=0).flops_per_token == 40


def test_clients_are_lost_as_often_as_is_said() -> None:
    rule = Dropout(before=0.1, during=0.2, after=0.3)
    drawn = [rule.draw(0, round, client) for round in range(20) for client in range(200)]
    for stage, share in (("before", 0.1), ("during", 0.2), ("after", 0.3)):
        found = [leaving for leaving in drawn if leaving is not None and leaving.stage == stage]
        assert len(found) / len(drawn) == pytest.approx(share, abs=0.03)
        assert np.mean([leaving.share for leaving in found]) == pytest.approx(0.5, abs=0.05)
    assert drawn[:5] == [rule.draw(0, 0, client) for client in range(5)]
