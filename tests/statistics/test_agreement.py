"""Agreement against scipy, scikit-learn and cases done by hand; draws against the same draws written out."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr
from sklearn.metrics import cohen_kappa_score

from shepherd.statistics import agreement
from shepherd.statistics.agreement import Sample, measured

SCORES = st.lists(st.tuples(st.integers(1, 10), st.integers(1, 10)), min_size=2, max_size=25)


def _one(statistic: agreement.Statistic, first: list[float], second: list[float]) -> float:
    values = np.array(first, float), np.array(second, float)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return float(statistic(*values, np.ones((1, len(first))))[0])


def _same(ours: float, theirs: float) -> bool:
    return (math.isnan(ours) and math.isnan(theirs)) or ours == pytest.approx(theirs, abs=1e-12)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=50)
@given(SCORES)
def test_scipy_and_scikit_learn_say_the_same(pairs: list[tuple[float, float]]) -> None:
    first, second = map(list, zip(*pairs, strict=True))
    assert _same(_one(agreement.spearman, first, second), spearmanr(first, second).statistic)
    assert _same(_one(agreement.kendall, first, second), kendalltau(first, second).statistic)
    kappa = cohen_kappa_score(first, second, labels=range(1, 11), weights="quadratic")
    assert _same(_one(agreement.weighted_kappa, first, second), kappa)
    signs = [list(np.sign(np.array(values) - 5)) for values in (first, second)]
    assert _same(_one(agreement.cohens_kappa, *signs), cohen_kappa_score(*signs))


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=50)
@given(SCORES, st.data())
def test_a_draw_by_weights_is_the_draw_written_out(
    pairs: list[tuple[float, float]], data: st.DataObject
) -> None:
    times = data.draw(st.lists(st.integers(0, 3), min_size=len(pairs), max_size=len(pairs)))
    values = np.array(pairs, float)
    repeated = np.repeat(values, times, axis=0)
    if len(repeated) < 2:
        return
    for statistic, shift in (
        (agreement.spearman, 0),
        (agreement.kendall, 0),
        (agreement.weighted_kappa, 0),
        (agreement.cohens_kappa, 5),
        (agreement.accuracy, 5),
        (agreement.mutual_accuracy, 5),
    ):
        weighted = statistic(*(values - shift).T, np.array([times], float))[0]
        assert _same(weighted, _one(statistic, *(repeated - shift).T.tolist()))
    assert _same(agreement.kendall(*values.T, np.array([times], float))[0], kendalltau(*repeated.T).statistic)


def test_pairwise_accuracy_by_hand() -> None:
    people, judge = [2, 1, -3, 0, -1], [1, 0, 2, 4, -1]
    # Of the four decided: right, a tie for one half, wrong, right.
    assert _one(agreement.accuracy, people, judge) == 2.5 / 4
    # The other way round: right, wrong, a tie of the people for one half, right.
    assert _one(agreement.accuracy, judge, people) == 2.5 / 4
    assert _one(agreement.accuracy, people, [0] * 5) == 0.5
    assert _one(agreement.mutual_accuracy, [1, 1], [1, 0]) == 2.5 / 3


def test_kappa_by_hand() -> None:
    # They agree on 4 of 6; by chance on (3·3 + 2·1 + 1·2) / 36 = 13/36: (24/36 - 13/36) / (1 - 13/36) = 11/23.
    first, second = [1, 1, 1, -1, -1, 0], [1, 1, 0, -1, 1, 0]
    assert _one(agreement.cohens_kappa, first, second) == pytest.approx(11 / 23)


def test_weighted_kappa_takes_means_as_they_are() -> None:
    # Lin's concordance: 2 cov / (var + var + (difference of means)²), with population variances.
    first, second = np.array([1, 4.5, 7, 10]), np.array([2, 4, 8.25, 8])
    covariance = np.cov(first, second, bias=True)
    lin = 2 * covariance[0, 1] / (covariance.trace() + (first.mean() - second.mean()) ** 2)
    assert _one(agreement.weighted_kappa, list(first), list(second)) == pytest.approx(lin)


@pytest.mark.parametrize("statistic", [agreement.spearman, agreement.kendall])
def test_a_constant_rater_has_no_rank_correlation(statistic: agreement.Statistic) -> None:
    sample = Sample(["a", "b", "c"], np.array([7.3, 7.3, 7.3]), np.array([1.0, 2.0, 3.0]))
    assert measured(statistic, [sample]).interval is None


@pytest.mark.parametrize("statistic", [agreement.cohens_kappa, agreement.weighted_kappa])
def test_kappa_of_two_equal_constants_is_none_and_of_one_constant_is_chance(
    statistic: agreement.Statistic,
) -> None:
    assert math.isnan(_one(statistic, [7.3] * 3, [7.3] * 3))
    assert _one(statistic, [7.3] * 3, [7.3, -7.3, 7.3]) == pytest.approx(0)


@pytest.mark.parametrize("statistic", [agreement.accuracy, agreement.mutual_accuracy, agreement.spearman])
def test_nothing_to_compare_is_none(statistic: agreement.Statistic) -> None:
    nothing = Sample([], np.empty(0), np.empty(0))
    assert measured(statistic, [nothing]) == agreement.Figure(0, None)
    assert measured(statistic, []) == agreement.Figure(0, None)
    ties = Sample(["a", "b"], np.zeros(2), np.zeros(2))
    assert measured(statistic, [ties]).interval is None


def test_the_interval_is_over_questions_and_repeats() -> None:
    # Two answers a question, always right or wrong together: as many independent things as questions.
    first = np.ones(80)
    second = np.repeat(np.where(np.arange(40) % 4, 1.0, -1.0), 2)
    sample = Sample([f"q{number // 2}" for number in range(80)], first, second)
    figure = measured(agreement.accuracy, [sample], seed=3)
    assert figure.count == 80
    assert figure.interval is not None
    assert figure.interval.estimate == 0.75
    half = 1.96 * math.sqrt(0.75 * 0.25 / 40)
    assert figure.interval.low == pytest.approx(0.75 - half, abs=0.03)
    assert figure.interval.high == pytest.approx(0.75 + half, abs=0.03)
    assert measured(agreement.accuracy, [sample], seed=3) == figure


def test_the_mean_over_pairs_leaves_out_what_is_undefined() -> None:
    alike = Sample(["a", "b", "c"], np.array([1.0, 2, 3]), np.array([1.0, 2, 3]))
    opposed = Sample(["b", "c", "d"], np.array([1.0, 2, 3]), np.array([3.0, 2, 1]))
    constant = Sample(["a", "b"], np.array([1.0, 2]), np.array([5.0, 5]))
    figure = measured(agreement.kendall, [alike, opposed, constant])
    assert figure.count == 8
    assert figure.interval is not None
    assert figure.interval.estimate == 0
    assert -1 <= figure.interval.low < figure.interval.high <= 1


def test_one_question_has_no_ends() -> None:
    figure = measured(agreement.kendall, [Sample(["a", "a"], np.array([1.0, 2]), np.array([1.0, 2]))])
    assert figure.interval is not None
    assert figure.interval.estimate == 1
    assert math.isnan(figure.interval.low)
