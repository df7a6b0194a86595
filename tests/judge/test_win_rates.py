"""Who is better on a question, by every combination of what the two orders can say."""

from __future__ import annotations

from collections import Counter
from itertools import product
from math import isnan, nan

import numpy as np
import pytest

from shepherd.judge.consistency import position_bias, self_agreement, swap_consistency
from shepherd.judge.rating_table import RatingTable, better
from shepherd.judge.win_rates import order_verdicts, question_verdicts, win_rate


def _table(preferences: np.ndarray, scores: np.ndarray | None = None) -> RatingTable:
    filled = np.full((*preferences.shape, 2), nan) if scores is None else scores
    return RatingTable([f"q{k}" for k in range(len(preferences))], filled, preferences, 0, 0)


def test_a_win_counts_only_if_both_orders_agree() -> None:
    for first, second in product((0.0, 0.5, 1.0), repeat=2):
        assert question_verdicts(np.array([[first, second]]))[0] == (first if first == second else 0.5)
    for alone in (0.0, 0.5, 1.0):
        assert (
            question_verdicts(np.array([[nan, alone], [alone, nan], [alone, alone]])).tolist() == [alone] * 3
        )
    assert isnan(question_verdicts(np.array([[nan, nan]]))[0])
    assert question_verdicts(np.array([[1.0], [0.5]])).tolist() == [1, 0.5]


def test_a_majority_is_more_than_half_of_what_was_read() -> None:
    said = [*product((0.0, 0.5, 1.0, nan), repeat=3)]
    verdicts = order_verdicts(_table(np.array(said)[:, None, :]), "verdict")[:, 0]
    for ratings, verdict in zip(said, verdicts, strict=True):
        read = [rating for rating in ratings if not isnan(rating)]
        if not read:
            assert isnan(verdict)
            continue
        (most, times), *_ = Counter(read).most_common()
        assert verdict == (most if 2 * times > len(read) else 0.5)


def test_scores_within_a_tenth_are_a_tie() -> None:
    differences = np.array([0.1, 8.1 - 8, -0.1, 0.11, -0.2, 0.0, nan])
    assert better(differences)[:-1].tolist() == [0.5, 0.5, 0.5, 1.0, 0.0, 0.5]
    assert isnan(better(differences)[-1])


def test_an_orders_scores_are_averaged_before_they_are_compared() -> None:
    scores = np.array([[[[9, 7], [6, 7], [6, 7]], [[5, 6], [nan, nan], [6, 5]]]])
    assert order_verdicts(_table(scores[..., 0], scores), "scores").tolist() == [[0.5, 0.5]]
    scores[0, 0, 0, 0] = 10
    assert order_verdicts(_table(scores[..., 0], scores), "scores").tolist() == [[1.0, 0.5]]


def test_the_win_rate_counts_half_of_every_tie() -> None:
    rate = win_rate(np.array([1, 1, 0.5, 0, nan]))
    assert rate.estimate == pytest.approx(2.5 / 4)
    assert 0 <= rate.low < rate.estimate < rate.high <= 1


def test_a_judge_that_only_sees_places_is_found_out() -> None:
    first_wins = np.array([[[1.0, 1.0], [0.0, 0.0]]] * 6)
    table = _table(first_wins)
    bias = position_bias(table, "verdict")
    assert bias is not None
    assert (bias.estimate, bias.low) == (1, 1)
    assert self_agreement(first_wins) == 1
    orders = order_verdicts(table, "verdict")
    assert swap_consistency(orders) == 0
    assert question_verdicts(orders).tolist() == [0.5] * 6


def test_the_places_worth_is_free_of_the_answers_worth() -> None:
    # The model is 3 points better, the first place 1 point.
    scores = np.array([[[[8, 4]], [[7, 5]]]] * 4, dtype=float)
    bias = position_bias(_table(scores[..., 0], scores), "scores")
    assert bias is not None
    assert bias.estimate == 1


def test_nothing_is_said_of_what_was_not_asked_twice() -> None:
    once = np.array([[[1.0], [nan]], [[nan], [0.0]]])
    assert position_bias(_table(once), "verdict") is None
    assert swap_consistency(order_verdicts(_table(once), "verdict")) is None
    assert self_agreement(once) is None
    assert position_bias(_table(once[:, :1]), "verdict") is None
