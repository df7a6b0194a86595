"""Oort's scores by hand, and what exploration, exploitation, pace and patience come to."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shepherd.participation import Candidates, Oort, Report
from shepherd.tree import Tree, from_bytes, to_bytes


def known(utilities: list[float], rounds: list[int], seconds: list[float] | None = None) -> dict[str, Any]:
    return {
        str(client): {"utility": utility, "round": round, "times": 1}
        | ({"seconds": seconds[client]} if seconds else {})
        for client, (utility, round) in enumerate(zip(utilities, rounds, strict=True))
    }


def line(loss: float, selected: int = 10, **more: float) -> dict[str, Any]:
    return {"selected": selected, "train_loss_rms": loss, **more}


def test_a_score_is_the_utilitys_place_in_its_range_and_what_is_due_to_the_long_unseen() -> None:
    scores = Oort().scores(9, known([10.0, 30.0, 50.0], [8, 4, 1]), pace=10)
    for client, (gain, last) in enumerate([(0.0, 8), (0.5, 4), (1.0, 1)]):
        assert scores[str(client)] == pytest.approx(gain + math.sqrt(0.1 * math.log(9) / last))


def test_slow_clients_lose_by_the_square_of_how_slow_they_are() -> None:
    about = known([10.0, 30.0, 30.0], [1, 1, 1], [4.0, 8.0, 2.0])
    plain = Oort().scores(2, known([10.0, 30.0, 30.0], [1, 1, 1]), pace=10)
    # The 40th percentile of 2, 4, 8 is the second.
    scores = Oort().scores(2, about, pace=40)
    assert scores["0"] == plain["0"]
    assert scores["1"] == pytest.approx(plain["1"] * (4 / 8) ** 2)
    assert scores["2"] == plain["2"]
    assert Oort().scores(2, about, pace=100) == plain


def test_no_utility_counts_above_the_clip() -> None:
    utilities = [float(utility) for utility in range(10)] + [1000.0]
    scores = Oort(clip=0.9, staleness=0).scores(2, known(utilities, [1] * 11), pace=10)
    assert scores["10"] == scores["9"] == pytest.approx(9 / 1000)


def test_equal_clients_score_alike() -> None:
    assert set(Oort(staleness=0).scores(5, known([3.0] * 4, [1] * 4), pace=10).values()) == {0.0}


def test_utility_is_the_number_of_examples_times_the_root_mean_square_loss() -> None:
    candidates = Candidates(4, 0, [50] * 4, silent=[0, 3])
    reports = [Report(1, line(2.5, selected=12, simulated_seconds=7.0))]
    before = {"3": {"utility": 5.0, "round": 2, "times": 4, "seconds": 11.0}}
    state = Oort(count=3).observe(candidates, reports, {"clients": before})
    assert state["clients"]["1"] == {"utility": 30.0, "round": 5, "times": 1, "seconds": 7.0}
    # Those of which nothing came are taken for the others' mean, and for as slow as the slowest, until something does.
    assert state["clients"]["0"] == {"utility": 30.0, "round": 5, "times": 0, "seconds": 7.0}
    assert state["clients"]["3"] == {"utility": 30.0, "round": 5, "times": 4, "seconds": 11.0}
    assert "2" not in state["clients"]


def test_one_of_whom_nothing_came_does_not_make_the_others_alike() -> None:
    rule, candidates = Oort(count=3, staleness=0), Candidates(4, 0, [50] * 3)
    reports = [Report(client, line(loss)) for client, loss in enumerate([9.0, 9.5])]
    scores = []
    for silent in ([], [2]):
        state = rule.observe(replace(candidates, silent=silent), reports, {})
        scores.append(rule.scores(6, state["clients"], pace=10))
    assert scores[0] == {client: scores[1][client] for client in ("0", "1")}


@given(
    count=st.integers(1, 10),
    seen=st.integers(0, 20),
    round=st.integers(1, 60),
    seed=st.integers(0, 1000),
)
def test_the_share_of_new_clients_falls_to_its_floor(count: int, seen: int, round: int, seed: int) -> None:
    about = known([float(client) for client in range(seen)], [1] * seen)
    chosen = Oort(count=count).select(Candidates(round, seed, [1] * 20), {"clients": about})
    share = max(0.2, 0.9 * 0.95**round)
    exploited = min(seen, int(count * (1 - share) + 1e-9))
    fresh = min(20 - seen, count - exploited)
    assert len(set(chosen)) == count
    assert sum(client >= seen for client in chosen) == fresh


def test_the_best_are_drawn_in_proportion_to_their_scores_and_the_rest_never() -> None:
    rule = Oort(count=1, explore=0, explore_least=0, staleness=0, cut_off=0.7, clip=1.0)
    about = known([0.0, 50.0, 80.0, 100.0], [1] * 4)
    state = {"clients": about}
    rounds = 3000
    counts = [0] * 4
    for round in range(1, rounds):
        (client,) = rule.select(Candidates(round, 0, [1] * 4), state)
        counts[client] += 1
    assert counts[:2] == [0, 0]
    assert counts[3] / rounds == pytest.approx(1 / 1.8, abs=0.05)


def test_faster_devices_are_explored_first() -> None:
    class Devices:
        def available(self, client: int) -> bool:
            return True

        def expected_seconds(self, client: int, examples: int) -> float:
            return 1.0 if client == 3 else 1e9

    for round in range(10):
        assert Oort(count=1).select(Candidates(round, 0, [1] * 9, devices=Devices()), {}) == [3]


def test_who_took_part_too_often_is_left_out_unless_too_few_are_left() -> None:
    about = known([1.0, 2.0, 99.0], [1, 1, 1])
    about["2"]["times"] = 5
    for round in range(1, 10):
        candidates = Candidates(round, 0, [1] * 3)
        assert Oort(count=2, most_rounds=5).select(candidates, {"clients": about}) == [0, 1]
        assert Oort(count=3, most_rounds=5).select(candidates, {"clients": about}) == [0, 1, 2]


def exploiting(losses: list[float], rule: Oort) -> Tree:
    """Return what is remembered after rounds in which all four clients had such a loss."""
    state: Tree = {}
    for round, loss in enumerate(losses):
        reports = [Report(client, line(loss)) for client in range(4)]
        state = from_bytes(to_bytes(rule.observe(Candidates(round, 0, [1] * 4), reports, state)))
    return state


@pytest.mark.parametrize(
    ("losses", "pace"),
    [
        ([1.0] * 4, 10.0),
        ([1.0] * 5, 10.0),
        ([1.0] * 6, 15.0),
        ([1.0] * 8, 20.0),
        ([1.0] * 4 + [2.0] * 2, 10.0),
        ([1.0] * 4 + [9.0] * 2, 5.0),
    ],
)
def test_the_pace_moves_with_what_is_exploited(losses: list[float], pace: float) -> None:
    # Two rounds against the two before; in the very first nobody was known, so nothing was exploited.
    assert exploiting(losses, Oort(count=4, pace_rounds=2))["pace"] == pace
