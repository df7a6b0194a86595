"""Intervals: beside scipy's, beside the same draws in plain Python, and as often right as they claim."""

from __future__ import annotations

import math
import random
import statistics

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from shepherd.statistics import bootstrap
from shepherd.statistics.bootstrap import (
    UNKNOWN,
    DrawnMeans,
    Interval,
    corrected,
    mean_interval,
    question_means,
    two_level_means,
)
from shepherd.statistics.paired import holm

NAN = math.nan
# Three questions, two orders, two ratings; the last question has one order only.
RATINGS = np.array([[[8, 6], [5, NAN]], [[4, 4], [2, 3]], [[NAN, NAN], [9, 7]]])


def _means(first: np.ndarray, second: np.ndarray, draws: int = bootstrap.DRAWS) -> DrawnMeans:
    """Means of two figures of the same questions."""
    columns = np.stack([first, second], axis=-1)
    return two_level_means(columns.reshape(len(columns), 1, -1, 2), draws=draws)


def _ratio(
    first: np.ndarray, second: np.ndarray, draws: int = bootstrap.DRAWS, level: float = 0.95
) -> Interval:
    return _means(first, second, draws).interval(lambda above, below: above / below, level)


def _difference(first: np.ndarray, second: np.ndarray) -> Interval:
    return _means(first, second).interval(lambda one, other: one - other)


def test_an_interval_excludes_what_lies_outside() -> None:
    span = Interval(1.2, 1.1, 1.3)
    assert span.excludes(1)
    assert not span.excludes(1.1)
    assert span.half_width == pytest.approx(0.1)
    assert not UNKNOWN.excludes(1)
    assert not Interval(1.2, NAN, NAN).excludes(1)


def test_one_over_an_interval_turns_its_ends() -> None:
    inverse = Interval(2.0, 1.0, 4.0, 0.9).inverse
    assert (inverse.estimate, inverse.low, inverse.high, inverse.level) == (0.5, 0.25, 1.0, 0.9)
    assert math.isnan(UNKNOWN.inverse.low)
    assert math.isnan(Interval(0.0, 0.0, 1.0).inverse.estimate)


def test_a_questions_mean_is_over_ratings_and_then_over_orders() -> None:
    # (7 + 5) / 2, not (8 + 6 + 5) / 3.
    assert question_means(RATINGS[..., None])[:, 0].tolist() == [6.0, 3.25, 8.0]
    assert mean_interval(RATINGS).estimate == pytest.approx((6 + 3.25 + 8) / 3)


def test_what_is_missing_in_one_column_is_left_out_in_all() -> None:
    first, second = np.array([1.0, 2, NAN, 4]), np.array([2.0, NAN, 3, 4])
    assert _difference(first, second).estimate == pytest.approx((1 - 2 + 4 - 4) / 2)
    assert _ratio(first, second).estimate == pytest.approx(5 / 6)
    assert np.isnan(question_means(np.full((2, 1, 3, 2), NAN))).all()


def test_fewer_than_two_questions_have_no_interval() -> None:
    one = mean_interval(np.array([[3.0, 5.0]]))
    assert one.estimate == 4
    assert math.isnan(one.low)
    assert not one.excludes(0)
    assert math.isnan(mean_interval(np.array([])).estimate)
    assert math.isnan(mean_interval(np.array([NAN, NAN])).estimate)
    assert mean_interval(np.array([NAN, 2.0])).estimate == 2


def test_nothing_to_divide_by_gives_no_figure_and_no_warning() -> None:
    span = _ratio(np.array([0.0, 0.0]), np.array([0.0, 0.0]))
    assert math.isnan(span.estimate)
    assert not span.excludes(1)


def test_equal_values_have_an_interval_of_no_width() -> None:
    values = np.array([[3.0, 7.0], [2.0, 9.0], [5.0, 5.0]])
    assert _ratio(values, values) == Interval(1.0, 1.0, 1.0)
    assert _difference(values, values) == Interval(0.0, 0.0, 0.0)


def test_the_p_value_is_the_share_of_draws_on_the_other_side_of_zero() -> None:
    values = np.random.default_rng(0).normal(0.2, 1.0, 40)
    means = _means(values, np.zeros(40), draws=999)
    span = means.interval(lambda one, other: one - other)
    below = int((means.draws[:, 0] <= 0).sum())
    assert 0 < below < 500
    assert span.p_value == 2 * (below + 1) / 1000
    assert means.interval(lambda one, other: other - one).p_value == span.p_value
    z = values.mean() / (values.std() / math.sqrt(40))
    assert mean_interval(values).p_value == pytest.approx(2 * scipy.stats.norm.sf(z), abs=0.02)
    assert mean_interval(np.ones(5)).p_value == bootstrap.LEAST_P_VALUE
    assert mean_interval(np.zeros(5)).p_value == 1
    assert math.isnan(mean_interval(np.array([3.0])).p_value)


def test_corrected_intervals_keep_their_ends_and_have_holms_p_values() -> None:
    spans = [Interval(0.2, 0.1, 0.3, p_value=p) for p in (0.03, 0.001, NAN, 0.02)]
    found = corrected(spans)
    assert found == spans
    assert [span.p_value for span in found] == pytest.approx(
        [NAN if p is None else p for p in holm([0.03, 0.001, None, 0.02])], nan_ok=True
    )
    assert [span.is_noise for span in spans] == [False] * 4
    assert [span.is_noise for span in found] == [False, False, False, False]
    assert [span.is_noise for span in corrected([spans[0]] * 2)] == [True, True]
    assert UNKNOWN.is_noise


def test_the_same_seed_gives_the_same_draws() -> None:
    assert mean_interval(RATINGS, seed=1) == mean_interval(RATINGS, seed=1)
    assert mean_interval(RATINGS, seed=1) != mean_interval(RATINGS, seed=2)


def test_one_level_is_scipys_percentile_bootstrap() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=60)
    other = values + np.random.default_rng(1).normal(0.3, 0.5, size=60)
    ours = mean_interval(values)
    theirs = scipy.stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(2))
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.02)

    def ratio(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        return a.mean(axis=axis) / b.mean(axis=axis)

    ours = _ratio(values, other, level=0.9)
    theirs = scipy.stats.bootstrap(
        (values, other),
        ratio,
        paired=True,
        method="percentile",
        confidence_level=0.9,
        rng=np.random.default_rng(3),
    )
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.01)


def _drawn_plainly(questions: list[list[list[float]]], randomness: random.Random) -> float:
    """Draw once, as the documentation says it: questions, then the ratings of each of their orders."""
    means = []
    for question in randomness.choices(questions, k=len(questions)):
        orders = [[rating for rating in order if not math.isnan(rating)] for order in question]
        drawn = [randomness.choices(order, k=len(order)) for order in orders if order]
        means.append(statistics.fmean(statistics.fmean(order) for order in drawn))
    return statistics.fmean(means)


def test_two_levels_are_what_plain_python_draws() -> None:
    values = np.random.default_rng(0).integers(1, 11, size=(12, 2, 3)).astype(float)
    values[np.random.default_rng(1).random(values.shape) < 0.2] = NAN
    values[3, 1] = NAN
    randomness = random.Random(0)
    plain = np.array([_drawn_plainly(values.tolist(), randomness) for _ in range(4_000)])
    ours = two_level_means(values[..., None]).draws[:, 0]
    assert len(ours) == 10_000
    assert ours.mean() == pytest.approx(plain.mean(), abs=0.03)
    assert ours.std() == pytest.approx(plain.std(), rel=0.05)
    assert scipy.stats.ks_2samp(ours, plain).pvalue > 0.001


def test_many_small_pieces_of_work_give_the_same_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(30, 1, 2, 1))
    whole = two_level_means(values).draws
    monkeypatch.setattr(bootstrap, "_CELLS", 100)
    pieces = two_level_means(values, draws=5_000).draws
    assert pieces.shape == (5_000, 1)
    assert pieces.std() == pytest.approx(whole.std(), rel=0.05)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(1, 10), st.floats(1, 10)), min_size=2, max_size=8), st.randoms())
def test_order_changes_no_estimate_and_swapping_turns_the_ratio(
    pairs: list[tuple[float, float]], randomness: random.Random
) -> None:
    first, second = np.array(pairs).T
    span = _ratio(first, second, draws=50)
    shuffled = randomness.sample(pairs, len(pairs))
    assert _ratio(*np.array(shuffled).T, draws=50).estimate == pytest.approx(span.estimate)
    assert _ratio(second, first, draws=50).estimate == pytest.approx(1 / span.estimate)
    assert span.low <= span.high


@pytest.mark.parametrize(("questions", "least"), [(20, 0.88), (80, 0.90)])
def test_intervals_hold_the_truth_about_as_often_as_they_say(questions: int, least: float) -> None:
    randomness = np.random.default_rng(0)
    held = 0
    for repetition in range(200):
        own = randomness.normal(6, 1.5, size=(questions, 1, 1))
        ratings = own + randomness.normal(0, 1, size=(questions, 2, 3))
        held += not mean_interval(ratings, seed=repetition, draws=500).excludes(6)
    assert least <= held / 200 <= 0.995
