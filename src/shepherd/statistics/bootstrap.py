"""Intervals for figures over questions, by drawing the questions, and their ratings, again and again.

Questions differ, and a judge asked twice need not say the same. Both are drawn anew: questions with replacement, and
within every drawn question as many of its ratings as it has, with replacement and in pairs (Davison and Hinkley,
*Bootstrap Methods and their Application*, section 3.8). The ends are percentiles of 10,000 such draws.

The spread of questions' means holds what ratings add to it already, and drawing ratings adds it almost once more: where
a judge contradicts itself, an interval is a little too wide rather than too narrow. With few questions percentiles err
the other way: of 20, by a judge that repeats itself, an interval holds the true mean 92 times of 100 instead of 95.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from shepherd.randomness import generator
from shepherd.statistics.paired import holm

DRAWS = 10_000
_CELLS = 2**17  # (draw, question) cells worked on at a time: some MB, which stay in the processor's caches


@dataclass(frozen=True)
class Interval:
    """A figure and where it may lie.

    Attributes
    ----------
    estimate : float
        The figure itself; NaN where there is none.
    low, high : float
        The ends; NaN where there are fewer than two questions to tell a spread from.
    level : float
        The share of such intervals that would hold the true figure.
    p_value : float
        Two-sided, of the true figure being 0, and so of use for differences: twice the share of the draws that lie on
        the other side of 0, the figure itself counted among them; NaN without draws. Two intervals are equal whatever
        theirs are.
    """

    estimate: float
    low: float
    high: float
    level: float = 0.95
    p_value: float = field(default=math.nan, compare=False)

    def excludes(self, value: float) -> bool:
        """Say whether `value` lies outside; never of an interval without ends."""
        return value < self.low or value > self.high

    @property
    def is_noise(self) -> bool:
        """Whether the true figure may be 0: it lies inside, or the p-value, corrected or not, is too large."""
        return not self.excludes(0) or self.p_value + self.level >= 1

    @property
    def half_width(self) -> float:
        """Half the distance between the ends; NaN without ends."""
        return (self.high - self.low) / 2

    @property
    def inverse(self) -> Interval:
        """The interval of one over the figure, for figures above 0."""
        estimate, low, high = (1 / end if end else math.nan for end in (self.estimate, self.high, self.low))
        return Interval(estimate, low, high, self.level)


#: What is said of a figure that was not measured.
UNKNOWN = Interval(math.nan, math.nan, math.nan)
#: The smallest p-value that so many draws can give.
LEAST_P_VALUE = 2 / (DRAWS + 1)


def corrected(intervals: Sequence[Interval]) -> list[Interval]:
    """Return intervals with their p-values corrected for how many are looked at together (`paired.holm`).

    The ends stay each interval's own: of a corrected one `is_noise` may hold though 0 lies outside.
    """
    p_values = holm([None if math.isnan(interval.p_value) else interval.p_value for interval in intervals])
    return [
        interval if p is None else replace(interval, p_value=p)
        for interval, p in zip(intervals, p_values, strict=True)
    ]


@dataclass(frozen=True)
class DrawnMeans:
    """Means over the questions, as they are and in every draw.

    Attributes
    ----------
    estimates : array of float, [columns]
        The means as they are; NaN without questions.
    draws : array of float, [draws, columns]
        The means of every draw; none with fewer than two questions.
    """

    estimates: np.ndarray
    draws: np.ndarray

    def interval(self, figure: Callable[..., np.ndarray], level: float = 0.95) -> Interval:
        """Return the percentile interval of a figure computed from the columns' means.

        Parameters
        ----------
        figure : callable
            Given one argument for each column, numbers or arrays of them, returns the figure.
        level : float
            The share of such intervals that would hold the true figure, between 0 and 1.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            estimate = float(figure(*self.estimates))
            if not len(self.draws):
                return Interval(estimate, math.nan, math.nan, level)
            drawn = figure(*self.draws.T)
            low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
        return Interval(estimate, float(low), float(high), level, _p_value(drawn))


def _p_value(drawn: np.ndarray) -> float:
    """Return the two-sided p-value of 0; the figure itself counts as one draw more, so it is never 0."""
    if np.isnan(drawn).any():
        return math.nan
    beyond = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return min(1.0, 2 * (int(beyond) + 1) / (len(drawn) + 1))


def question_means(values: np.ndarray) -> np.ndarray:
    """Return every question's mean: over the readable ratings of each order, then over the orders.

    So a rating that could not be read does not give the other order more weight.

    Parameters
    ----------
    values : array of float, [questions, orders, ratings, columns]
        NaN where there is none; what is not there in one column is left out in all.

    Returns
    -------
    array of float, [questions, columns]
        NaN for questions without a readable rating.
    """
    table = _table(values)
    means = table.shares.sum(axis=(1, 2))
    means[~table.counts.any(axis=1)] = np.nan
    return means


def two_level_means(values: np.ndarray, seed: int = 0, draws: int = DRAWS) -> DrawnMeans:
    """Return the means over questions of `question_means`, and of `draws` two-level draws.

    Parameters
    ----------
    values : array of float, [questions, orders, ratings, columns]
        NaN where there is none; what is not there in one column is left out in all, and questions without anything
        are left out altogether. A rating is drawn from those of its question and order.
    seed : int
        Of equal seeds and equally many questions, the same questions are drawn, so that models asked the same are
        compared over the same draws.
    draws : int
        How many.
    """
    table = _table(values)
    table = _Table(table.shares[table.counts.any(axis=1)], table.counts[table.counts.any(axis=1)])
    questions, columns = len(table.counts), values.shape[-1]
    if questions < 2:
        estimates = table.shares.sum(axis=(0, 1, 2)) if questions else np.full(columns, np.nan)
        return DrawnMeans(estimates, np.empty((0, columns)))
    randomness = generator(seed, "bootstrap")
    most = max(1, _CELLS // questions)
    sizes = [min(most, draws - done) for done in range(0, draws, most)]
    drawn = np.concatenate([_draw(table, size, randomness) for size in sizes])
    return DrawnMeans(table.shares.sum(axis=(1, 2)).mean(axis=0), drawn)


@dataclass(frozen=True)
class _Table:
    """Readable ratings in front, each as its part of its question's mean; a last slot of 0 stands for none.

    `shares` is [questions, orders, ratings + 1, columns], `counts` of readable ratings [questions, orders].
    """

    shares: np.ndarray
    counts: np.ndarray


def _table(values: np.ndarray) -> _Table:
    readable = ~np.isnan(values).any(axis=-1)
    in_front = np.argsort(~readable, axis=-1, kind="stable")
    counts = readable.sum(axis=-1)
    orders = np.maximum(1, (counts > 0).sum(axis=-1, keepdims=True))
    weights = 1 / (np.maximum(1, counts) * orders)
    parts = np.where(readable[..., None], values, 0.0) * weights[..., None, None]
    parts = np.take_along_axis(parts, in_front[..., None], axis=2)
    return _Table(np.pad(parts, ((0, 0), (0, 0), (0, 1), (0, 0))), counts)


def _draw(table: _Table, size: int, randomness: np.random.Generator) -> np.ndarray:
    """Return the means of `size` draws, [size, columns]."""
    questions, orders, slots, columns = table.shares.shape
    flat = table.shares.reshape(-1, columns)
    chosen = randomness.integers(questions, size=(size, questions))
    total = np.zeros((size, columns))
    for order in range(orders):
        first = (chosen * orders + order) * slots
        counts = table.counts[:, order].astype(np.float32)[chosen]
        for slot in range(slots - 1):
            # 32 bits do: their largest number below 1, times a count, still rounds to less than the count.
            place = (randomness.random(chosen.shape, dtype=np.float32) * counts).astype(np.int64)
            place[slot >= counts] = slots - 1
            # take and einsum, not flat[...].sum(axis=1): several times faster for a handful of columns.
            total += np.einsum("dqc->dc", flat.take(first + place, axis=0))
    return total / questions


def mean_interval(values: np.ndarray, seed: int = 0, draws: int = DRAWS, level: float = 0.95) -> Interval:
    """Return the interval of a mean over questions.

    Parameters
    ----------
    values : array of float, [questions], [questions, ratings] or [questions, orders, ratings]
        NaN where there is none.
    seed : int
        The draws' seed.
    draws : int
        How many.
    level : float
        The share of such intervals that would hold the true mean, between 0 and 1.
    """
    return two_level_means(_columns(values), seed, draws).interval(lambda mean: mean, level)


def _columns(values: np.ndarray) -> np.ndarray:
    """Return values as `two_level_means` takes them: one column, and one order where there are no several."""
    column = np.asarray(values, dtype=float)[..., None]
    if column.ndim == 2:
        column = column[:, None]
    return column[:, None] if column.ndim == 3 else column
