"""What the SuperLink does once a second only, and which layers of its application are taken out."""

from __future__ import annotations

from collections.abc import Set
from types import SimpleNamespace
from typing import Any

import pytest

from shepherd.deploy import superlink_pace
from shepherd.deploy.superlink_pace import _IDLE, _remembered, _seldom, ease, without_idle_layers


class Clock:
    """Says the time it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(superlink_pace, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


class Database:
    """Stands for the SuperLink's: says how runs stand, and tidies up."""

    def __init__(self, **runs: str) -> None:
        self.runs = {int(name.removeprefix("run")): status for name, status in runs.items()}
        self.asked: list[set[int]] = []
        self.tidied = 0
        self.eased_status = _remembered(Database.status)

    def status(self, run_ids: Set[int]) -> dict[int, Any]:
        self.asked.append(set(run_ids))
        return {run: SimpleNamespace(status=self.runs[run]) for run in run_ids}

    def tidy(self) -> None:
        self.tidied += 1


def said(database: Database, *runs: int) -> list[str]:
    """Return how these runs are said to stand."""
    return [one.status for one in database.eased_status(database, set(runs)).values()]


def test_a_running_run_is_looked_up_once_a_second(clock: Clock) -> None:
    database = Database(run1="running", run2="running")
    assert [said(database, 1), said(database, 1), said(database, 2), said(database, 1)] == [["running"]] * 4
    clock.now += 0.9
    database.runs[1] = "finished"
    assert said(database, 1) == ["running"]
    assert database.asked == [{1}, {2}]
    clock.now += 0.2
    assert said(database, 1) == ["finished"]


@pytest.mark.parametrize("status", ["pending", "starting", "finished"])
def test_any_other_run_is_looked_up_every_time(clock: Clock, status: str) -> None:
    database = Database(run3=status, run4="running")
    assert said(database, 3) == [status]
    assert sorted(said(database, 3, 4)) == sorted(["running", status])
    database.runs[3] = "running"
    assert said(database, 3) == ["running"]
    assert said(database, 3, 4) == ["running", "running"]
    assert database.asked == [{3}, {3, 4}] * 2


def test_tidying_up_is_done_once_a_second(clock: Clock) -> None:
    database, tidy = Database(), _seldom(Database.tidy)
    for _ in range(3):
        tidy(database)
    assert database.tidied == 1
    clock.now += 0.9
    tidy(database)
    assert database.tidied == 1
    clock.now += 0.2
    tidy(database)
    tidy(database)
    assert database.tidied == 2


def layer(name: str) -> Any:
    return SimpleNamespace(cls=type(name, (), {}))


def test_idle_layers_are_taken_out_and_the_others_keep_their_order() -> None:
    names = ["Outer", _IDLE[0], "FleetNodeAuthMiddleware", *_IDLE[1:], "Inner"]
    app = SimpleNamespace(user_middleware=[layer(name) for name in names])
    assert without_idle_layers(app) is app
    assert [one.cls.__name__ for one in app.user_middleware] == ["Outer", "FleetNodeAuthMiddleware", "Inner"]


def test_flower_still_has_what_is_eased(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("flwr")
    from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState

    names = ("get_run_status", "_cleanup_expired_task_tokens", "store_traffic")
    before = {name: getattr(SqlLinkState, name) for name in names}
    for name, method in before.items():
        monkeypatch.setattr(SqlLinkState, name, method)  # so that it is put back
    ease()
    assert all(getattr(SqlLinkState, name) is not method for name, method in before.items())
