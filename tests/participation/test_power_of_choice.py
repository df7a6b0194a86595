"""Power-of-choice by hand: whom it asks, whom it keeps, what it remembers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shepherd.participation import Candidates, PowerOfChoice, Report


class Clients:
    """Says losses, and remembers who was asked about how much."""

    def __init__(self, losses: Sequence[float], silent: Sequence[int] = ()) -> None:
        self.losses = losses
        self.silent = silent
        self.asked: list[int] = []
        self.examples: int | None = None

    def __call__(self, clients: Sequence[int], examples: int | None = None) -> Mapping[int, float]:
        self.asked, self.examples = list(clients), examples
        return {client: self.losses[client] for client in clients if client not in self.silent}


@given(
    losses=st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0]), min_size=3, max_size=12),
    data=st.data(),
    round=st.integers(0, 100),
)
def test_of_those_that_are_asked_the_highest_losses_are_kept(
    losses: list[float], data: st.DataObject, round: int
) -> None:
    count = data.draw(st.integers(1, len(losses)))
    drawn = data.draw(st.integers(count, len(losses)))
    clients = Clients(losses)
    rule = PowerOfChoice(count=count, drawn=drawn, poll_examples=9)
    chosen = rule.select(Candidates(round, 0, [1] * len(losses), losses=clients), {})
    assert clients.examples == 9
    assert len(clients.asked) == drawn
    by_hand = sorted(clients.asked, key=lambda client: (-losses[client], client))[:count]
    assert chosen == sorted(by_hand)


def test_twice_the_cohort_is_asked_unless_told_and_large_clients_more_often() -> None:
    asked: list[int] = []
    for round in range(400):
        clients = Clients([1.0] * 10)
        PowerOfChoice(count=1).select(Candidates(round, 0, [1] * 9 + [9], losses=clients), {})
        assert len(clients.asked) == 2
        asked += clients.asked
    # First with half the chance, then in the other half as one of ten with half again: 1/2 + 1/2 * 9/17.
    assert asked.count(9) / 400 == pytest.approx(0.5 + 0.5 * 9 / 17, abs=0.1)


def test_who_does_not_answer_is_not_chosen() -> None:
    candidates = Candidates(0, 0, [1] * 3, losses=Clients([3.0, 2.0, 1.0], silent=[0]))
    assert PowerOfChoice(count=2, drawn=3).select(candidates, {}) == [1, 2]


def test_last_training_losses_count_instead_and_the_unknown_come_first() -> None:
    rule = PowerOfChoice(count=2, drawn=4, losses="last")
    candidates = Candidates(0, 0, [1] * 4)
    reports = [Report(client, {"train_loss": loss}) for client, loss in [(0, 1.0), (1, 5.0)]]
    state = rule.observe(candidates, reports, {})
    assert rule.select(candidates, state) == [2, 3]
    state = rule.observe(candidates, [Report(2, {"train_loss": 3.0}), Report(3, {"train_loss": 2.0})], state)
    assert rule.select(candidates, state) == [1, 2]
    assert rule.observe(candidates, [Report(1, {"train_loss": 0.5})], state)["losses"]["1"] == 0.5


def test_of_whom_nothing_came_counts_as_the_mean_until_it_answers() -> None:
    rule = PowerOfChoice(count=2, drawn=4, losses="last")
    candidates, nobody = Candidates(0, 0, [1] * 4), list[Report]()
    silent = rule.observe(replace(candidates, silent=[0, 1]), nobody, {})
    assert rule.select(candidates, silent) == [2, 3]
    heard = [Report(2, {"train_loss": 3.0}), Report(3, {"train_loss": 1.0})]
    state = rule.observe(candidates, heard, silent)
    # The others' mean is 2, so one of those that were asked in vain has another turn, and then the third has one.
    assert rule.select(candidates, state) == [0, 2]
    state = rule.observe(replace(candidates, silent=[2]), [Report(0, {"train_loss": 2.5})], state)
    assert state["silent"] == [1, 2]
    assert rule.select(candidates, state) == [0, 1]


def test_polling_remembers_nothing() -> None:
    assert PowerOfChoice().observe(Candidates(0, 0, [1]), [Report(0, {"train_loss": 1.0})], {}) == {}
