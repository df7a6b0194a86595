"""A figure measured on every question: its mean, its interval, its paired difference to another model's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from shepherd.statistics.bootstrap import DrawnMeans, Interval, two_level_means


@dataclass(frozen=True)
class Metric:
    """A figure's name, how a table calls it, and whether more of it is better."""

    name: str
    heading: str
    more_is_better: bool = True


METRICS = {
    metric.name: metric
    for metric in (
        Metric("rouge_l", "ROUGE-L"),
        Metric("exact_match", "Exact match"),
        Metric("token_f1", "Token F1"),
        Metric("loss", "Loss", more_is_better=False),
    )
}


@dataclass(frozen=True)
class Measured:
    """One figure of every question, and how much it counts in a mean.

    Attributes
    ----------
    values : array of float, [questions]
        NaN where there is none.
    weights : array of float, [questions]
        1; of the loss, the reference's tokens, so that its mean is in nats per token as in training and evaluation.
    """

    values: np.ndarray
    weights: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """Whether a question has a figure, [questions] of bool."""
        return np.isfinite(self.values) & (self.weights > 0)

    @property
    def mean(self) -> float:
        """The weighted mean over the questions; NaN without any."""
        known = self.known
        return float(np.average(self.values[known], weights=self.weights[known])) if known.any() else math.nan

    def interval(self, seed: int = 0) -> Interval:
        """Return the weighted mean and its interval over questions."""
        return self.drawn(self.known, seed).interval(lambda mean: mean)

    def minus(self, other: Measured) -> Measured:
        """Return the paired difference: where both have a figure that counts the same."""
        both = self.known & other.known & (self.weights == other.weights)
        return Measured(np.where(both, self.values - other.values, np.nan), self.weights)

    def drawn(self, rows: np.ndarray, seed: int) -> DrawnMeans:
        """Return the weighted mean of some questions, as it is and in every draw of them: one column."""
        chosen = rows & self.known
        columns = np.stack([self.values * self.weights, self.weights], axis=-1)[chosen]
        drawn = two_level_means(columns[:, None, None], seed)
        with np.errstate(invalid="ignore"):
            estimates = drawn.estimates[:1] / drawn.estimates[1:]
            return DrawnMeans(estimates, drawn.draws[:, :1] / drawn.draws[:, 1:])


def is_worse(difference: Interval, metric: str) -> bool:
    """Say whether a difference to another model is for the worse, beyond the noise."""
    is_lower = difference.estimate < 0
    return not difference.is_noise and is_lower == METRICS[metric].more_is_better
