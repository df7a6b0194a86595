"""How far two raters agree, with intervals over questions.

Every figure is written over weights: how often each rating was drawn. All weights 1 is the figure itself, and a
thousand draws of the questions are one matrix product instead of a thousand calls. Who the raters are is not known
here.

A figure that is undefined (nothing to compare, or a rater who says the same of everything) is NaN in a draw, which is
then left out, and None in what is reported.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from shepherd.randomness import generator
from shepherd.statistics.bootstrap import Interval

DRAWS = 2_000

#: Given what one rater said, what the other said, and weights [draws, ratings], returns the figure of every draw.
Statistic = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Sample:
    """What two raters said of the same things.

    Attributes
    ----------
    questions : sequence of str
        The question that each thing belongs to: what is drawn, since answers to one question are not independent.
    first, second : array of float, [ratings]
        Scores, or preferences: above 0 for the one answer, below 0 for the other, 0 for a tie.
    """

    questions: Sequence[str]
    first: np.ndarray
    second: np.ndarray

    def only(self, kept: np.ndarray) -> Sample:
        """Return those of the things for which `kept` is true."""
        questions = [question for question, keep in zip(self.questions, kept, strict=True) if keep]
        return Sample(questions, self.first[kept], self.second[kept])


@dataclass(frozen=True)
class Figure:
    """A figure of agreement.

    Attributes
    ----------
    count : int
        Ratings it rests on.
    interval : Interval, optional
        The figure and its bootstrap interval over questions; None where it is undefined.
    """

    count: int
    interval: Interval | None


def spearman(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return Spearman's rank correlation, -1 to 1: Pearson's of the ranks, ties sharing their mean rank."""
    one, other = (_centred(_ranks(values, weights), weights) for values in (first, second))
    return _ratio(_sum(weights, one * other), np.sqrt(_sum(weights, one**2) * _sum(weights, other**2)))


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean rank of each value in every draw, [draws, ratings]."""
    below, equal = values[:, None] < values[None, :], values[:, None] == values[None, :]
    return weights @ below + (weights @ equal + 1) / 2


def _centred(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return values - _ratio(_sum(weights, values), weights.sum(axis=1))[:, None]


def kendall(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return Kendall's tau-b, -1 to 1: pairs ordered alike less pairs ordered otherwise, corrected for ties."""
    one, other = (np.sign(values[:, None] - values[None, :]) for values in (first, second))
    untied = np.sqrt(_over_pairs(one**2, weights) * _over_pairs(other**2, weights))
    return _ratio(_over_pairs(one * other, weights), untied)


def cohens_kappa(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return Cohen's kappa of win, tie and loss (the signs of preferences), at most 1; 0 is chance."""
    return _kappa(np.sign(first)[:, None] != np.sign(second)[None, :], weights)


def weighted_kappa(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the quadratic-weighted kappa of scores, at most 1; 0 is chance.

    A disagreement weighs by its square, so scores need not be whole: a judge's mean of several ratings is taken as
    it is. Of whole scores this is the usual kappa over the categories 1 to 10, and always Lin's concordance.
    """
    return _kappa((first[:, None] - second[None, :]) ** 2, weights)


def _kappa(disagreement: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return one less the disagreement on the same things over that between any two things."""
    observed = weights.sum(axis=1) * (weights @ disagreement.diagonal())
    return 1 - _ratio(observed, _over_pairs(disagreement, weights))


def accuracy(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the pairwise accuracy, 0 to 1: how often `second` prefers the answer that `first` prefers.

    Where `first` says tie there is nothing to be right about, and the pair is left out. Where only `second` says tie
    it counts one half, what tossing a coin would get.
    """
    decided = np.sign(first) != 0
    return _ratio(weights @ (_credit(first, second) * decided), weights @ decided)


def mutual_accuracy(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the pairwise accuracy of two raters of equal standing: `accuracy` both ways, taken together."""
    decided = (np.sign(first) != 0) * 1 + (np.sign(second) != 0)
    return _ratio(weights @ (_credit(first, second) * decided), weights @ decided)


def _credit(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return 1 - np.abs(np.sign(first) - np.sign(second)) / 2


def _sum(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    return (weights * values).sum(axis=1)


def _over_pairs(matrix: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the sum over all ordered pairs of ratings, each as often as both were drawn."""
    return _sum(weights, weights @ matrix)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(len(below), math.nan), where=below > 0)


def measured(
    statistic: Statistic, samples: Sequence[Sample], seed: int = 0, draws: int = DRAWS, level: float = 0.95
) -> Figure:
    """Return a figure of agreement, or its mean over several pairs of raters, with its interval.

    Questions are drawn with replacement, the same for all pairs of raters, together with everything said of them.

    Parameters
    ----------
    statistic : callable
        One of this module's.
    samples : sequence of Sample
        One for each pair of raters; those for which the figure is undefined are left out of the mean.
    seed : int
        The draws' seed.
    draws : int
        How many.
    level : float
        The share of such intervals that would hold the true figure, between 0 and 1.
    """
    estimates = [_of_all(statistic, sample) for sample in samples]
    defined = [s for s, estimate in zip(samples, estimates, strict=True) if not math.isnan(estimate)]
    count = sum(len(sample.first) for sample in samples)
    if not defined:
        return Figure(count, None)
    estimate = float(np.nanmean(estimates))
    low, high = _ends(_drawn(statistic, defined, seed, draws), level)
    return Figure(count, Interval(estimate, low, high, level))


def _of_all(statistic: Statistic, sample: Sample) -> float:
    return float(statistic(sample.first, sample.second, np.ones((1, len(sample.first))))[0])


def _drawn(statistic: Statistic, samples: Sequence[Sample], seed: int, draws: int) -> np.ndarray:
    """Return the mean figure of every draw for which there is one; none with fewer than two questions."""
    questions = sorted({question for sample in samples for question in sample.questions})
    if len(questions) < 2:
        return np.empty(0)
    share = np.full(len(questions), 1 / len(questions))
    times = generator(seed, "agreement").multinomial(len(questions), share, size=draws).astype(float)
    place = {question: number for number, question in enumerate(questions)}
    figures = np.stack(
        [statistic(s.first, s.second, times[:, [place[q] for q in s.questions]]) for s in samples]
    )
    known = figures[:, ~np.isnan(figures).all(axis=0)]
    return np.nanmean(known, axis=0)


def _ends(figures: np.ndarray, level: float) -> tuple[float, float]:
    if not len(figures):
        return math.nan, math.nan
    low, high = np.quantile(figures, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
