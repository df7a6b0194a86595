"""Tests of paired differences, against SciPy's and against their definitions worked out the long way."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from shepherd.statistics.paired import holm, least_sign_flip, paired_t, sign_flip, t_interval

FEW = [0.3, -0.1, 0.25, 0.4, 0.15]
differences = st.lists(st.integers(-40, 40).map(lambda n: n / 8), min_size=2, max_size=7)


def _drawn(count: int, mean: float) -> list[float]:
    return [float(x) for x in np.random.default_rng(3).normal(mean, 1.0, count)]


@pytest.mark.parametrize("values", [FEW, [0.1, 0.2, 0.15], [1.0, -1.0], _drawn(40, 0.4)])
def test_the_t_test_and_its_interval_are_scipys(values: list[float]) -> None:
    theirs = stats.ttest_rel(values, np.zeros(len(values)))
    assert paired_t(values) == pytest.approx(theirs.pvalue, rel=1e-10)
    for level in (0.9, 0.95):
        expected = theirs.confidence_interval(level)
        assert t_interval(values, level) == pytest.approx((expected.low, expected.high), rel=1e-10)


@pytest.mark.parametrize("values", [FEW, [0.1, 0.2, 0.15], [-0.5, -0.5], _drawn(12, 0.5)])
def test_sign_flips_are_scipys_permutations_of_pairs(values: list[float]) -> None:
    theirs = stats.permutation_test(
        (values, np.zeros(len(values))),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    assert sign_flip(values) == pytest.approx(theirs.pvalue)


@given(differences)
def test_sign_flips_are_what_trying_them_all_says(values: list[float]) -> None:
    # Eighths add up exactly, so ties are ties.
    sums = [
        abs(sum(s * v for s, v in zip(signs, values, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(values))
    ]
    assert sign_flip(values) == sum(found >= abs(sum(values)) for found in sums) / len(sums)
    assert least_sign_flip(len(values)) <= sign_flip(values) <= 1


@given(differences)
def test_the_interval_leaves_zero_out_where_the_test_says_so(values: list[float]) -> None:
    p, interval = paired_t(values), t_interval(values)
    assert p is not None
    assert interval is not None
    if abs(p - 0.05) > 1e-9 and len(set(values)) > 1:
        assert (interval[0] > 0 or interval[1] < 0) == (p < 0.05)
    assert p == paired_t([-value for value in values])


def test_what_so_few_seeds_can_show() -> None:
    assert [least_sign_flip(n) for n in (1, 2, 3, 5, 6)] == [1.0, 0.5, 0.25, 0.0625, 0.03125]
    assert sign_flip([5.0, 6.0, 7.0]) == 0.25
    assert sign_flip([0.0, 0.0, 0.0]) == 1.0
    assert sign_flip([0.1, 0.2, 0.3, -0.6]) == 1.0  # a sum of rounding errors is no sum


def test_many_pairs_are_flipped_at_random_from_an_address() -> None:
    many = _drawn(17, 0.6)
    exact = sign_flip(many[:16])
    assert exact is not None
    assert exact == pytest.approx(_all_flips(many[:16]))
    drawn = sign_flip(many)
    assert drawn == sign_flip(many)
    assert drawn == pytest.approx(_all_flips(many), abs=4 * math.sqrt(0.25 / 99_999))
    assert sign_flip(many, seed=1) != drawn
    assert sign_flip([1.0] * 60) == 1e-5 == least_sign_flip(60)


def _all_flips(values: list[float]) -> float:
    """Two-sided by the distribution of the sum, built up a pair at a time."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return float(np.mean(np.abs(sums) >= abs(sum(values)) - 1e-9))


def test_differences_without_a_spread_are_limits() -> None:
    assert paired_t([0.0, 0.0]) == 1.0
    assert t_interval([0.0, 0.0]) == (0.0, 0.0)
    assert paired_t([0.25, 0.25, 0.25]) == 0.0
    assert t_interval([0.25, 0.25, 0.25]) == (0.25, 0.25)


@pytest.mark.parametrize("values", [[], [math.nan, 1.0], [math.inf, 1.0]])
def test_what_cannot_be_tested_is_nothing(values: list[float]) -> None:
    assert paired_t(values) is t_interval(values) is sign_flip(values) is None
    assert paired_t([0.5]) is t_interval([0.5]) is None
    assert sign_flip([0.5]) == 1.0


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, None, 0.6]) == [1.0, None, 1.0]
    assert holm([0.03, None]) == [0.03, None]
    assert holm([]) == []


@given(st.lists(st.integers(0, 100).map(lambda n: n / 100), min_size=1, max_size=6))
def test_holm_is_the_closed_test_of_bonferronis(p_values: list[float]) -> None:
    # Marcus, Peritz and Gabriel (1976): a hypothesis falls if every intersection that it is part of falls.
    places = range(len(p_values))
    groups = [group for size in places for group in itertools.combinations(places, size + 1)]
    expected = [
        max(min(1.0, len(group) * min(p_values[k] for k in group)) for group in groups if place in group)
        for place in places
    ]
    assert holm(p_values) == pytest.approx(expected)
