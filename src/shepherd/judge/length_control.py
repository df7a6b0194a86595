"""The win rate two models would have if their answers were equally long: judges like long answers.

As AlpacaEval 2 does it (arXiv 2404.04475), a logistic model says how preferences depend on the model, on the lengths'
difference, and on how hard a question is for everybody; then the lengths' difference is set to 0. Here a question's
difficulty is what the other models won on it, and there are no rows of gamed answers.
"""

from __future__ import annotations

import math

import numpy as np

from shepherd.randomness import generator
from shepherd.statistics.bootstrap import Interval

#: Questions below which a slope is not told from chance.
FEWEST = 10
#: The share of questions on which each of the two must have the longer answer (or both the same): where one always
#: has, equal lengths were never seen, and what the judge would say of them is anybody's guess.
SHARE_OF_EACH = 0.1
DRAWS = 1000
_CELLS = 2**18
# What keeps coefficients finite where all wins are of the longer answers, or a draw holds wins only. The first, the
# model's own, is left all but free: it is what is asked for.
_RIDGE = (0.01, 0.1, 0.1)


def why_not(preferences: np.ndarray, differences: np.ndarray) -> str | None:
    """Return why there is no length-controlled win rate, in words that follow "because"; None where there is one.

    Parameters
    ----------
    preferences : array of float, [questions]
        1 for a win of the model, 0 for a loss, 0.5 for a tie.
    differences : array of float, [questions]
        Length of the model's answer less the reference's.
    """
    if len(preferences) < FEWEST:
        return f"fewer than {FEWEST} questions have both answers and a verdict"
    if np.ptp(preferences) == 0:
        return "every question has the same verdict"
    if np.ptp(differences) == 0:
        return "the answers' lengths differ by the same on every question"
    if min((differences <= 0).mean(), (differences >= 0).mean()) < SHARE_OF_EACH:
        return f"the model's answers are {'longer' if differences.mean() > 0 else 'shorter'} on nearly every question"
    return None


def length_controlled(
    preferences: np.ndarray,
    differences: np.ndarray,
    difficulty: np.ndarray | None = None,
    seed: int = 0,
    draws: int = DRAWS,
    level: float = 0.95,
) -> Interval:
    """Return the win rate with the lengths' difference set to 0, and its percentile interval over questions.

    Where lengths explain nothing, it is the win rate itself (but for a touch of ridge).

    Parameters
    ----------
    preferences, differences : array of float, [questions]
        As in `why_not`, which must have found nothing. Differences enter as tanh(difference / their deviation).
    difficulty : array of float, [questions], optional
        `others_preferences`.
    seed, draws, level : int, int, float
        The draws' seed, how many, and the share of such intervals that would hold the true rate.
    """
    columns = [np.ones(len(preferences)), np.tanh(differences / differences.std())]
    features = np.stack(columns if difficulty is None else [*columns, difficulty], axis=1)
    randomness = generator(seed, "bootstrap", "length")
    size = max(1, _CELLS // len(preferences))
    rates = [_rates(features, preferences, np.ones((1, len(preferences))))]
    for done in range(0, draws, size):
        share = np.full(len(preferences), 1 / len(preferences))
        times = randomness.multinomial(len(preferences), share, size=min(size, draws - done))
        rates.append(_rates(features, preferences, times.astype(float)))
    (estimate, *drawn) = np.concatenate(rates)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]) if drawn else (math.nan, math.nan)
    return Interval(float(estimate), float(low), float(high), level)


def others_preferences(preferences: np.ndarray) -> np.ndarray | None:
    """Return how hard each question is, told from the other models: their mean preference, less its mean.

    Parameters
    ----------
    preferences : array of float, [models, questions]
        NaN where there is none.

    Returns
    -------
    array of float, [models, questions], optional
        0 where no other model was asked; None of fewer than three models, as one other tells too little.
    """
    if len(preferences) < 3:
        return None
    known = ~np.isnan(preferences)
    means = np.nansum(preferences, axis=1, keepdims=True) / np.maximum(1, known.sum(axis=1, keepdims=True))
    centred = np.where(known, preferences - means, 0.0)
    others = known.sum(axis=0) - known
    return (centred.sum(axis=0) - centred) / np.maximum(1, others)


def _rates(features: np.ndarray, outcomes: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the win rate at equal lengths, averaged over the questions, for each row of `times` [draws, questions]."""
    coefficients = fitted(features, outcomes, times)
    coefficients[:, 1] = 0
    chances = _sigmoid(coefficients @ features.T)
    return (times * chances).sum(axis=1) / times.sum(axis=1)


def fitted(features: np.ndarray, outcomes: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return ridge-regularised logistic coefficients, one row for each row of `times`, by Newton's method.

    Parameters
    ----------
    features : array of float, [questions, coefficients]
        What preferences may depend on; the first is 1.
    outcomes : array of float, [questions]
        0 to 1.
    times : array of float, [draws, questions]
        How often each question counts.
    """
    ridge = np.array(_RIDGE[: features.shape[1]])
    products = (features[:, :, None] * features[:, None, :]).reshape(len(features), -1)
    coefficients = np.zeros((len(times), features.shape[1]))
    for _ in range(100):
        chances = _sigmoid(coefficients @ features.T)
        slope = (times * (outcomes - chances)) @ features - ridge * coefficients
        curvature = ((times * chances * (1 - chances)) @ products).reshape(-1, *[features.shape[1]] * 2)
        step = np.linalg.solve(curvature + np.diag(ridge), slope[..., None])[..., 0]
        # Far from the answer the curvature misleads; short steps get there all the same.
        coefficients += np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-9:
            break
    return coefficients


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(values / 2))
