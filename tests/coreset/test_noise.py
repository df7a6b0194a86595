from __future__ import annotations

import numpy as np
import pytest

from shepherd.coreset.noise import MeanNoise


def test_epsilon_is_that_of_the_gaussian_mechanism_in_zcdp() -> None:
    # rho = sensitivity^2 / (2 sigma^2), with sensitivity 2 for one mean and 2 sqrt(m) for m
    for sigma, groups in ((0.3, 1), (1.0, 1), (1.0, 9), (5.0, 4)):
        rho = (2 * groups**0.5) ** 2 / (2 * sigma**2)
        expected = rho + 2 * (rho * np.log(1e6)) ** 0.5
        assert MeanNoise(sigma=sigma, delta=1e-6).epsilon(groups) == pytest.approx(expected)


def test_the_papers_noise_is_hardly_any_privacy() -> None:
    assert MeanNoise(sigma=0.1**0.5).epsilon(1) == pytest.approx(50.3, abs=0.1)


def test_means_are_clipped_to_the_ball_before_anything_is_added() -> None:
    means = np.array([[30.0, 40.0], [0.3, 0.4], [0.0, 0.0]])
    found = MeanNoise(sigma=1e-9).add(means, np.random.default_rng(0))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]], atol=1e-6)
    scaled = MeanNoise(sigma=1e-9, scale=100).add(means, np.random.default_rng(0))
    np.testing.assert_allclose(scaled, means / 100, atol=1e-6)


def test_the_noise_has_the_deviation_it_says() -> None:
    found = MeanNoise(sigma=2.5).add(np.zeros((5000, 4)), np.random.default_rng(0))
    assert found.std() == pytest.approx(2.5, rel=0.02)
