"""Facility location against all subsets and against plain loops; sketches against the updates they stand for."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shepherd.model.adapter import Adapter
from shepherd.participation import Candidates, DivFL, Report
from shepherd.tree import Tree, from_bytes, to_bytes


def seen(points: torch.Tensor) -> Tree:
    reports = [Report(client, {}, point) for client, point in enumerate(points)]
    return DivFL().observe(Candidates(0, 0, [1] * len(points)), reports, {})


def cost(points: np.ndarray, chosen: tuple[int, ...]) -> float:
    return float(sum(min(np.linalg.norm(one - points[k]) for k in chosen) for one in points))


def is_greedy(points: np.ndarray, chosen: list[int]) -> bool:
    """Say whether the clients can be put in an order in which each was the best of those left.

    Two that are each other's nearest are worth the same, up to rounding, so the order is not the only one.
    """

    def goes_on(before: tuple[int, ...]) -> bool:
        """Say the same of those that are left."""
        costs = {
            client: cost(points, (*before, client)) for client in range(len(points)) if client not in before
        }
        best = [
            client for client in costs if costs[client] <= min(costs.values()) + 1e-9 and client in chosen
        ]
        return len(before) == len(chosen) or any(goes_on((*before, client)) for client in best)

    return goes_on(())


@settings(max_examples=25)
@given(clients=st.integers(2, 8), data=st.data(), seed=st.integers(0, 1000))
def test_it_is_the_greedy_choice_and_close_to_the_best(clients: int, data: st.DataObject, seed: int) -> None:
    count = data.draw(st.integers(1, clients))
    points = torch.from_numpy(np.random.default_rng(seed).normal(size=(clients, 3))).float()
    chosen = DivFL(count=count).select(Candidates(1, 0, [1] * clients), seen(points))
    exact = points.double().numpy()
    assert len(chosen) == count
    assert is_greedy(exact, chosen)
    best = min(cost(exact, subset) for subset in combinations(range(clients), count))
    # What greedy gains over the first choice alone is at least 1 - 1/e of what can be gained over it.
    alone = min(cost(exact, (client,)) for client in range(clients))
    assert alone - cost(exact, tuple(chosen)) >= (1 - 1 / np.e) * (alone - best) * 0.5 - 1e-9


def test_groups_of_alike_clients_have_one_each() -> None:
    centres = torch.tensor([[0.0, 0.0], [100.0, 0.0], [0.0, 100.0]])
    points = centres.repeat(4, 1) + torch.linspace(0, 1, 12)[:, None]
    chosen = DivFL(count=3).select(Candidates(1, 0, [1] * 12), seen(points))
    assert {client % 3 for client in chosen} == {0, 1, 2}


def test_who_never_took_part_comes_first_or_has_a_share() -> None:
    state = seen(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))
    for round in range(20):
        candidates = Candidates(round, 0, [1] * 9)
        assert len(set(DivFL(count=3).select(candidates, state)) & set(range(4, 9))) == 3
        shared = DivFL(count=3, explore=0.3).select(candidates, state)
        assert len(set(shared) & set(range(4, 9))) == 1
        assert len(DivFL(count=7).select(candidates, state)) == 7


def test_of_many_a_greedy_step_looks_at_some() -> None:
    points = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    rule = DivFL(count=5, compared=8)
    cohorts = [rule.select(Candidates(round, 0, [1] * 30), seen(points)) for round in range(4)]
    assert all(len(set(cohort)) == 5 for cohort in cohorts)
    assert len(set(map(tuple, cohorts))) > 1
    costs = [cost(points.double().numpy(), tuple(cohort)) for cohort in cohorts]
    draws = np.random.default_rng(0)
    random = [cost(points.double().numpy(), tuple(draws.choice(30, 5, replace=False))) for _ in range(20)]
    assert np.mean(costs) < np.mean(random)


def adapter(values: torch.Tensor) -> Adapter:
    return Adapter({"a": values[:700].reshape(7, 100), "b": values[700:]})


def test_sketches_are_as_far_apart_as_the_updates() -> None:
    random = torch.Generator().manual_seed(1)
    one, other = torch.randn(1003, generator=random), torch.randn(1003, generator=random)
    squares = [
        float((DivFL().sketch(adapter(one), seed) - DivFL().sketch(adapter(other), seed)).square().sum())
        for seed in range(200)
    ]
    exact = float((one - other).square().sum())
    # The mean of 200, each with a relative deviation of sqrt(2 / 64).
    assert np.mean(squares) == pytest.approx(exact, rel=5 * (2 / 64 / 200) ** 0.5)


def test_a_sketch_is_linear_and_the_seeds() -> None:
    values = torch.randn(1003, generator=torch.Generator().manual_seed(1))
    rule = DivFL(width=10)
    once = rule.sketch(adapter(values), 5)
    assert once.shape == (10,)
    assert torch.equal(once, rule.sketch(adapter(values), 5))
    assert torch.allclose(rule.sketch(adapter(values * 3), 5), once * 3, rtol=1e-5, atol=1e-4)
    assert not torch.equal(once, rule.sketch(adapter(values), 6))
    assert not rule.sketch(adapter(values * 0), 5).any()


def test_the_last_sketch_of_a_client_is_what_is_remembered() -> None:
    candidates, first = Candidates(0, 0, [1] * 5), torch.ones(2)
    state = DivFL().observe(candidates, [Report(3, {}, first), Report(1, {}, first * 2)], {})
    state = DivFL().observe(candidates, [Report(3, {}, first * 7)], from_bytes(to_bytes(state)))
    assert state["clients"].tolist() == [1, 3]
    assert state["sketches"].tolist() == [[2, 2], [7, 7]]


@pytest.mark.parametrize("lost", [range(5), range(10)])
def test_who_never_answers_keeps_nobody_away(lost: range) -> None:
    rule, draws = DivFL(count=4), np.random.default_rng(0)
    state: Tree = {}
    heard = []
    for round in range(60):
        candidates = Candidates(round, 0, [1] * 20)
        chosen = rule.select(candidates, state)
        reports = [
            Report(client, {}, torch.from_numpy(draws.normal(size=3)).float())
            for client in chosen
            if client not in lost
        ]
        over = replace(candidates, silent=[client for client in chosen if client in lost])
        state = from_bytes(to_bytes(rule.observe(over, reports, state)))
        heard.append(len(reports))
    # Of those that were asked in vain no more come than by chance.
    assert np.mean(heard[20:]) == pytest.approx(4 * (1 - len(lost) / 20), abs=0.5)
    assert set(state["silent"].tolist()) == set(lost)


def test_who_stood_for_all_and_went_away_is_replaced_until_it_answers() -> None:
    rule, state = DivFL(count=1), seen(torch.tensor([[-1.0], [0.0], [1.0]]))
    candidates = Candidates(1, 0, [1] * 3)
    assert rule.select(candidates, state) == [1]
    gone = rule.observe(replace(candidates, silent=[1]), [], state)
    assert {client for r in range(30) for client in rule.select(Candidates(r, 0, [1] * 3), gone)} != {1}
    back = rule.observe(candidates, [Report(1, {}, torch.zeros(1))], gone)
    assert "silent" not in back
    assert rule.select(candidates, back) == [1]
