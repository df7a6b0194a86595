"""The round loop, with clients that are formulas: what FedIT's algorithm 1 says, step by step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch

from shepherd.backend import RoundPart
from shepherd.config import RunConfig, parse_config
from shepherd.errors import ShepherdError
from shepherd.federation import Federation
from shepherd.messages import ClientJob, ClientSummary, ClientUpdate
from shepherd.model.adapter import Adapter
from shepherd.observer import Observer
from shepherd.state import RunState

ZERO = Adapter({"w": torch.zeros(3)})
SIZES = [10, 20, 30, 40]


@dataclass
class Formulas:
    """A backend whose client c sends the update c + 1, and remembers how often it was asked."""

    update: Callable[[ClientJob], float] = lambda job: job.client + 1.0
    jobs: list[ClientJob] = field(default_factory=list)

    def summarise(self, jobs: Iterable[ClientJob]) -> Iterator[ClientSummary]:
        return iter(())

    def measure(self, jobs: Iterable[ClientJob]) -> Iterator[tuple[int, float]]:
        return iter(())

    def train(self, jobs: Iterable[ClientJob]) -> Iterator[ClientUpdate]:
        for job in jobs:
            self.jobs.append(job)
            update = Adapter({"w": torch.full((3,), self.update(job))})
            times = int(job.kept("training").get("times", 0)) + 1
            size, kept = SIZES[job.client], {"times": times}
            sent = len(update.to_bytes())
            yield ClientUpdate(
                job.client, update, size, size, 100, 50, 2, 1.0, update.norm(), 0.1, kept, sent_bytes=sent
            )

    def whole(self, part: RoundPart) -> RoundPart:
        return part


@dataclass
class Diary(Observer):
    """An observer that writes everything down."""

    heard: list[tuple[str, Any]] = field(default_factory=list)

    def started(self, state: RunState, rounds: int) -> None:
        self.heard.append(("started", state.round))

    def cohort(self, round: int, clients: Sequence[str]) -> None:
        self.heard.append(("cohort", (round, list(clients))))

    def client(self, line: dict[str, Any]) -> None:
        self.heard.append(("client", line["client"]))

    def committed(self, state: RunState, lines: Sequence[dict[str, Any]]) -> None:
        self.heard.append(("committed", (state.round, [line["scope"] for line in lines])))


def build(backend: Formulas, diary: Diary | None = None, **values: Any) -> tuple[Federation, list[RunState]]:
    config: RunConfig = parse_config({"rounds": 3, "participation": {"name": "random", "count": 4}, **values})
    states: list[RunState] = []

    def commit(state: RunState, lines: Sequence[dict[str, Any]]) -> RunState:
        states.append(state)
        return state

    def evaluate(adapter: Adapter, round: int, residual: Any) -> dict[str, Any] | None:
        if not config.evaluation.due(round, config.rounds):
            return None
        return {"round": round, "scope": "global", "loss": float(adapter["w"][0])}

    names = [f"client {number}" for number in range(len(SIZES))]
    observers = [diary] if diary else []
    return Federation(config, backend, names, SIZES, evaluate, commit, observers), states


def test_rounds_are_sums_of_weighted_means() -> None:
    federation, states = build(Formulas())
    federation.run(federation.begin(ZERO))
    mean = sum(size * (client + 1) for client, size in enumerate(SIZES)) / sum(SIZES)
    for state in states:
        torch.testing.assert_close(state.adapter["w"], torch.full((3,), mean * state.round))


@pytest.mark.parametrize(
    ("aggregation", "said"),
    [
        ({"groups": {"a": ["client 0"], "b": ["client 1"]}}, "has no group for the client 'client 2'"),
        (
            {"groups": {"a": [f"client {c}" for c in range(5)]}},
            "names 'client 4', and there is no such client",
        ),
        (
            {"groups": {"a": [f"client {c}" for c in range(4)]}, "group_shares": {"A": 2}},
            "names the group 'A', and no client is in it",
        ),
    ],
)
def test_groups_of_nobody_are_refused_before_anything_is_evaluated(aggregation: Any, said: str) -> None:
    federation, states = build(Formulas(), aggregation={"name": "group_weighted", **aggregation})
    with pytest.raises(ShepherdError, match=said):
        federation.begin(ZERO)
    assert not states


def test_every_round_is_committed_with_all_of_its_lines() -> None:
    diary = Diary()
    federation, _ = build(Formulas(), diary, rounds=2, evaluation={"every": 5})
    federation.run(federation.begin(ZERO))
    committed = [what for kind, what in diary.heard if kind == "committed"]
    assert committed == [
        (0, ["global"]),
        (1, ["client"] * 4 + ["round"]),
        (2, ["client"] * 4 + ["round", "global"]),
    ]


def test_a_resumed_loop_goes_on_as_if_never_stopped() -> None:
    whole, expected = build(Formulas(), participation={"name": "random", "count": 2}, rounds=6)
    whole.run(whole.begin(ZERO))
    first, states = build(Formulas(), participation={"name": "random", "count": 2}, rounds=6)
    state = first.round(first.round(first.begin(ZERO)))
    second, rest = build(Formulas(), participation={"name": "random", "count": 2}, rounds=6)
    second.run(state)
    for one, other in zip(expected, [*states, *rest], strict=True):
        assert torch.equal(one.adapter["w"], other.adapter["w"])
        assert one.clients == other.clients


def test_clients_get_their_own_state_back_and_nobody_elses() -> None:
    backend = Formulas()
    federation, _ = build(backend, participation={"name": "random", "count": 2}, rounds=8)
    federation.run(federation.begin(ZERO))
    seen: dict[int, int] = {}
    for job in backend.jobs:
        assert job.kept("training").get("times", 0) == seen.get(job.client, 0)
        seen[job.client] = seen.get(job.client, 0) + 1


def test_a_diverged_client_stops_the_run_before_anything_is_committed() -> None:
    backend = Formulas(lambda job: math.nan if (job.round, job.client) == (1, 2) else 1.0)
    federation, states = build(backend)
    with pytest.raises(
        ShepherdError, match=r"'client 2' diverged in round 2.*Lower training\.lr.*up to round 1"
    ):
        federation.run(federation.begin(ZERO))
    assert [state.round for state in states] == [0, 1]


def test_bytes_are_the_wire_forms_length() -> None:
    diary = Diary()
    federation, _ = build(Formulas(), diary, rounds=1)
    lines: list[dict[str, Any]] = []
    diary.client = lines.append  # type: ignore[method-assign]
    federation.run(federation.begin(ZERO))
    assert {line["bytes_up"] for line in lines} == {len(ZERO.to_bytes())}
    assert {line["bytes_down"] for line in lines} == {len(ZERO.to_bytes())}


@dataclass
class Timed(Formulas):
    """A backend whose poll takes three seconds a client, and whose training takes one, by its own clock."""

    now: float = 0.0

    def measure(self, jobs: Iterable[ClientJob]) -> Iterator[tuple[int, float]]:
        for job in jobs:
            self.now += 3.0
            yield job.client, 1.0

    def train(self, jobs: Iterable[ClientJob]) -> Iterator[ClientUpdate]:
        for update in super().train(jobs):
            self.now += 1.0
            yield update


@pytest.mark.parametrize(
    "values",
    [
        {"participation": {"name": "power_of_choice", "count": 2, "drawn": 4}},
        {
            "participation": {"name": "random", "count": 4},
            "system": {"name": "synchronous", "deadline_s": 0.01},
        },
        {"participation": {"name": "random", "count": 4}, "system": {"name": "fedbuff", "buffer": 1}},
    ],
)
def test_speed_is_all_trained_tokens_by_the_seconds_of_training(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Timed()
    monkeypatch.setattr("shepherd.federation.time.perf_counter", lambda: backend.now)
    federation, _ = build(backend, rounds=1, **values)
    told: list[dict[str, Any]] = []

    def commit(state: RunState, lines: Sequence[dict[str, Any]]) -> RunState:
        told.extend(lines)
        return state

    federation = replace(federation, commit=commit)
    federation.run(federation.begin(ZERO))
    (summary,) = (line for line in told if line["scope"] == "round")
    # Every update says 100 tokens and took a second, used or not; polls are no training.
    assert summary["machine"]["tokens_per_second"] == pytest.approx(100.0)
    polled = values["participation"]["name"] == "power_of_choice"
    assert summary["machine"]["selection_seconds"] == (12.0 if polled else 0.0)
    assert polled or summary["tokens"] < 400
