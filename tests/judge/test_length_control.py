"""The length-controlled win rate: beside another optimiser, and on data whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from shepherd.judge.length_control import fitted, length_controlled, others_preferences, why_not


def _preferences(chances: np.ndarray, randomness: np.random.Generator) -> np.ndarray:
    return (randomness.random(chances.shape) < chances).astype(float)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def test_a_preference_for_length_alone_leaves_even_chances() -> None:
    randomness = np.random.default_rng(0)
    differences = randomness.normal(60, 80, size=3000)
    preferences = _preferences(_sigmoid(2.5 * np.tanh(differences / differences.std())), randomness)
    assert preferences.mean() > 0.65
    controlled = length_controlled(preferences, differences)
    assert controlled.estimate == pytest.approx(0.5, abs=0.03)
    assert not controlled.excludes(0.5)
    assert controlled.half_width < 0.05


def test_where_length_explains_nothing_the_rate_is_the_raw_one() -> None:
    randomness = np.random.default_rng(1)
    differences = randomness.normal(0, 50, size=2000)
    preferences = randomness.choice([0.0, 0.5, 1.0], p=[0.2, 0.2, 0.6], size=2000)
    assert length_controlled(preferences, differences).estimate == pytest.approx(preferences.mean(), abs=0.01)


def test_turning_both_round_turns_the_rate_round() -> None:
    randomness = np.random.default_rng(2)
    differences = randomness.normal(20, 50, size=100)
    preferences = _preferences(_sigmoid(differences / 50 - 0.5), randomness)
    one = length_controlled(preferences, differences)
    other = length_controlled(1 - preferences, -differences)
    assert one.estimate == pytest.approx(1 - other.estimate)
    assert (one.low, one.high) == pytest.approx((1 - other.high, 1 - other.low))
    assert one.low < one.estimate < one.high


@pytest.mark.parametrize("separable", [False, True])
def test_the_fit_is_another_optimisers(separable: bool) -> None:
    randomness = np.random.default_rng(3)
    features = np.stack(
        [np.ones(40), np.tanh(randomness.normal(size=40)), randomness.normal(size=40)], axis=1
    )
    noisy = randomness.choice([0.0, 0.5, 1.0], size=40)
    outcomes = (features[:, 1] > 0).astype(float) if separable else noisy
    times = randomness.multinomial(40, np.full(40, 1 / 40), size=3).astype(float)
    times[0] = 1

    def loss(coefficients: np.ndarray, counts: np.ndarray) -> float:
        values = features @ coefficients
        likelihood = outcomes * values - np.logaddexp(0, values)
        return float(-(counts * likelihood).sum() + (np.array([0.01, 0.1, 0.1]) * coefficients**2).sum() / 2)

    ours = fitted(features, outcomes, times)
    for coefficients, counts in zip(ours, times, strict=True):
        theirs = minimize(loss, np.zeros(3), args=(counts,), method="BFGS", options={"gtol": 1e-8})
        assert coefficients == pytest.approx(theirs.x, abs=1e-4)


def test_draws_without_a_loss_stay_finite() -> None:
    preferences = np.array([1.0] * 11 + [0.0])
    differences = np.array([-3.0, 4] * 6)
    controlled = length_controlled(preferences, differences)
    assert 0.6 < controlled.low <= controlled.estimate <= controlled.high <= 1


def test_difficulty_narrows_the_interval_and_moves_the_rate_little() -> None:
    randomness = np.random.default_rng(4)
    hard = randomness.normal(0, 3, size=400)
    preferences = _preferences(_sigmoid(np.stack([hard + 0.4, hard, hard, hard, hard - 1])), randomness)
    difficulty = others_preferences(preferences)
    assert difficulty is not None
    differences = randomness.normal(0, 50, size=400)
    plain = length_controlled(preferences[0], differences)
    helped = length_controlled(preferences[0], differences, difficulty[0])
    assert helped.estimate == pytest.approx(plain.estimate, abs=0.03)
    assert helped.half_width <= plain.half_width * 1.02


def test_difficulty_is_told_from_the_others_only() -> None:
    preferences = np.array([[1.0, 0.0, 0.5], [1.0, 1.0, np.nan], [0.0, 1.0, np.nan]])
    difficulty = others_preferences(preferences)
    assert difficulty is not None
    # Of the first model: (0 - 0.5) / 2 = -0.25 by the others' mean, 0.25, and nobody else on the third.
    assert difficulty[0] == pytest.approx([-0.25, 0.25, 0.0])
    assert difficulty[1] == pytest.approx([0.0, 0.0, 0.0])
    assert others_preferences(preferences[:2]) is None


@pytest.mark.parametrize(
    ("preferences", "differences", "reason"),
    [
        ([1, 0] * 4, [5, -5] * 4, "fewer than 10 questions"),
        ([], [], "fewer than 10 questions"),
        ([1] * 12, [5, -5] * 6, "every question has the same verdict"),
        ([0.5] * 12, [5, -5] * 6, "every question has the same verdict"),
        ([1, 0] * 6, [0] * 12, "differ by the same"),
        ([1, 0] * 6, [30] * 12, "differ by the same"),
        ([1, 0] * 6, range(20, 32), "longer on nearly every question"),
        ([1, 0] * 6, range(-32, -20), "shorter on nearly every question"),
    ],
)
def test_where_nothing_can_be_told_it_is_said_why(
    preferences: list[float], differences: list[int], reason: str
) -> None:
    assert reason in (why_not(np.array(preferences, dtype=float), np.array(differences, dtype=float)) or "")


def test_lengths_on_both_sides_are_enough() -> None:
    assert why_not(np.array([1.0, 0.0] * 6), np.array([5.0, -5.0] * 6)) is None
    assert why_not(np.array([1.0, 0.0] * 6), np.array([0.0] * 11 + [5.0])) is None
