"""What the judge itself is worth: whether the place sways it, and whether it says the same twice."""

from __future__ import annotations

import numpy as np

from shepherd.judge.judgement import Form
from shepherd.judge.rating_table import RatingTable
from shepherd.statistics.bootstrap import Interval, two_level_means


def position_bias(table: RatingTable, form: Form, seed: int = 0) -> Interval | None:
    """Return what being shown first is worth, over the questions of which both orders could be read.

    The first answer's score less the second's, averaged over both orders, in which the answers' own worth cancels. Of
    verdicts, the share for the first less the share for the second, from -1 to 1.

    Returns
    -------
    Interval, optional
        None where no question was read in both orders.
    """
    for_model = (
        2 * table.preferences - 1 if form == "verdict" else table.scores[..., 0] - table.scores[..., 1]
    )
    both = (~np.isnan(for_model)).any(axis=-1).all(axis=-1)
    if for_model.shape[1] < 2 or not both.any():
        return None
    for_first = for_model[both] * np.array([1.0, -1.0])[:, None]
    return two_level_means(for_first[..., None], seed).interval(lambda lead: lead)


def self_agreement(preferences: np.ndarray) -> float | None:
    """Return the share of pairs of ratings, of one question in one order, that name the same winner.

    Parameters
    ----------
    preferences : array of float, [questions, orders, ratings]
        1, 0.5 or 0; NaN where nothing was read.

    Returns
    -------
    float, optional
        None where no question was rated twice in one order.
    """
    named = [(preferences == winner).sum(axis=-1) for winner in (0.0, 0.5, 1.0)]
    pairs = _pairs(sum(named))
    return float(sum(map(_pairs, named)) / pairs) if pairs else None


def _pairs(counts: np.ndarray) -> int:
    return int((counts * (counts - 1) // 2).sum())


def swap_consistency(orders: np.ndarray) -> float | None:
    """Return the share of questions on which both orders say the same; None where none was read in both.

    Parameters
    ----------
    orders : array of float, [questions, orders]
        `win_rates.order_verdicts`.
    """
    both = ~np.isnan(orders).any(axis=1)
    if orders.shape[1] < 2 or not both.any():
        return None
    return float((orders[both, 0] == orders[both, 1]).mean())
