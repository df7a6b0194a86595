from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from shepherd.participation import Candidates, Report, RoundRobin
from shepherd.tree import Tree, from_bytes, to_bytes


@given(clients=st.integers(1, 30), data=st.data(), seed=st.integers(0, 2**40))
def test_everybody_comes_once_before_anybody_comes_again(
    clients: int, data: st.DataObject, seed: int
) -> None:
    rule = RoundRobin(count=data.draw(st.integers(1, clients)))
    turns = Counter[int](dict.fromkeys(range(clients), 0))
    state: Tree = {}
    for round in range(3 * clients // rule.cohort_size(clients) + 2):
        candidates = Candidates(round, seed, [1] * clients)
        chosen = rule.select(candidates, state)
        assert len(set(chosen)) == rule.count
        turns.update(chosen)
        assert max(turns.values()) - min(turns.values()) <= 1
        # What it remembers survives a checkpoint; who never answers counts as well.
        heard, silent = [Report(client, {}) for client in chosen[1:]], chosen[:1]
        state = from_bytes(to_bytes(rule.observe(replace(candidates, silent=silent), heard, state)))


def passes(seed: int) -> list[list[int]]:
    rule, orders = RoundRobin(count=1), list[int]()
    state: Tree = {}
    for round in range(16):
        candidates = Candidates(round, seed, [1] * 8)
        chosen = rule.select(candidates, state)
        orders += chosen
        state = rule.observe(candidates, [Report(client, {}) for client in chosen], state)
    return [orders[:8], orders[8:]]


def test_every_pass_and_every_seed_has_its_order() -> None:
    first, second = passes(0)
    assert sorted(first) == sorted(second) == list(range(8))
    assert first != second
    assert passes(1) != [first, second] == passes(0)


def test_who_was_away_catches_up_first() -> None:
    rule = RoundRobin(count=2)
    state: Tree = {}
    for round in range(3):
        there = Candidates(round, 0, [1] * 5, among=[0, 1, 2, 3])
        state = rule.observe(replace(there, silent=rule.select(there, state)), [], state)
    assert 4 in rule.select(Candidates(3, 0, [1] * 5), state)
