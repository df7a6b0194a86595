"""Who is better on a question: a win counts only if the judge names the same winner in both orders.

A judge that likes the first place names another winner when the answers change places; on such a question nothing is
known, so it is a tie (FastChat's rule). A question of which only one order could be read counts with that.
"""

from __future__ import annotations

import numpy as np

from shepherd.judge.judgement import Form
from shepherd.judge.rating_table import RatingTable, better
from shepherd.statistics.bootstrap import Interval, mean_interval, question_means


def order_verdicts(table: RatingTable, form: Form) -> np.ndarray:
    """Return what each order says: 1 for the model, 0 for the reference, 0.5 for a tie, NaN where nothing was read.

    Of scores, the means over the order's ratings are compared; of verdicts, a winner is whom more than half of the
    ratings name.

    Returns
    -------
    array of float, [questions, orders]
    """
    if form == "verdict":
        return _majority(table.preferences)
    means = [question_means(table.scores[:, [order]]) for order in range(table.scores.shape[1])]
    return np.stack([better(mean[:, 0] - mean[:, 1]) for mean in means], axis=1)


def _majority(preferences: np.ndarray) -> np.ndarray:
    named = (~np.isnan(preferences)).sum(axis=-1)
    wins, losses = ((preferences == winner).sum(axis=-1) for winner in (1.0, 0.0))
    verdicts = np.where(2 * wins > named, 1.0, np.where(2 * losses > named, 0.0, 0.5))
    verdicts[named == 0] = np.nan
    return verdicts


def question_verdicts(orders: np.ndarray) -> np.ndarray:
    """Return what both orders say together, a tie where they differ; NaN where neither was read, [questions]."""
    silent = np.isnan(orders)
    lowest = np.where(silent, np.inf, orders).min(axis=1)
    highest = np.where(silent, -np.inf, orders).max(axis=1)
    verdicts = np.where(lowest == highest, lowest, 0.5)
    verdicts[silent.all(axis=1)] = np.nan
    return verdicts


def win_rate(verdicts: np.ndarray, seed: int = 0) -> Interval:
    """Return the adjusted win rate, (wins + ties / 2) / questions, with its interval over questions.

    Questions are drawn anew, their ratings are not: few ratings drawn anew contradict each other more often than the
    ratings that were given, which would move every rate towards one half. What ratings add is in the spread between
    questions already.

    Parameters
    ----------
    verdicts : array of float, [questions]
        `question_verdicts`; NaN is left out.
    seed : int
        The draws' seed.
    """
    return mean_interval(verdicts, seed)
