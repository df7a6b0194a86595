"""A model's score in every group, the worst and the best of them, and how far they lie apart.

FedIT's fairness question (arXiv 2305.05644, section 5): whom does the one shared model serve badly? Intervals come from
drawing the questions of every cell again and again; the worst group is looked for anew in every draw. The smallest of
several noisy means lies below the smallest true one, so with few questions a group the worst looks worse, and the
spread wider, than it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from shepherd.evaluation.groups import Grouping
from shepherd.evaluation.measured import METRICS, Measured
from shepherd.evaluation.scores import ModelScores, Scores
from shepherd.randomness import generator
from shepherd.statistics import bootstrap
from shepherd.statistics.bootstrap import UNKNOWN, DrawnMeans, Interval

WORST_SHARE = 0.1


@dataclass(frozen=True)
class GroupScores:
    """One model's figures by group, for one metric.

    Attributes
    ----------
    label, metric : str
        The model and the metric.
    groups : dict of str to Interval
        The mean in every group; those without a figure are left out.
    questions : dict of str to int
        How many questions each rests on.
    worst, best : str
        The names of the worst and the best group; ``""`` without groups.
    average : Interval
        The mean over groups, each counting the same.
    worst_tenth : Interval
        The mean of the worst tenth of the groups, of one at least.
    spread : Interval
        The best group less the worst, in the metric's unit; never negative.
    deviation : Interval
        The standard deviation over the groups (population form, as of all there are).
    """

    label: str
    metric: str
    groups: dict[str, Interval]
    questions: dict[str, int]
    worst: str
    best: str
    average: Interval
    worst_tenth: Interval
    spread: Interval
    deviation: Interval

    @property
    def compared(self) -> list[Interval]:
        """What a table says of these differences: every group's and, of several, their average."""
        return [*self.groups.values(), *([self.average] if len(self.groups) > 1 else [])]


def by_group(scores: Scores, grouping: Grouping, metric: str, seed: int = 0) -> list[GroupScores]:
    """Return every model's figures by group.

    Parameters
    ----------
    scores : Scores
        The scores; ``scores.against(label)`` for paired differences by group.
    grouping : Grouping
        The groups.
    metric : str
        One of `METRICS`.
    seed : int
        The draws' seed; models are compared over the same draws.
    """
    measured = [model for model in scores.models if metric in model.measured]
    return [_of_model(model, grouping, metric, seed) for model in measured]


def corrected(models: Sequence[GroupScores]) -> list[GroupScores]:
    """Return differences by group with p-values corrected for all of them together (Holm), of every model and group."""
    family = iter(bootstrap.corrected([interval for model in models for interval in model.compared]))
    found = []
    for model in models:
        groups = {name: next(family) for name in model.groups}
        average = next(family) if len(groups) > 1 else model.average
        found.append(replace(model, groups=groups, average=average))
    return found


def _of_model(model: ModelScores, grouping: Grouping, metric: str, seed: int) -> GroupScores:
    figure = model.measured[metric]
    cells = _cell_means(figure, grouping, seed)
    names, means = _group_means(cells, grouping)
    best_last = means.estimates if METRICS[metric].more_is_better else -means.estimates
    order = np.argsort(best_last, kind="stable")
    return GroupScores(
        model.label,
        metric,
        {name: _column(means, column) for column, name in enumerate(names)},
        _questions(figure, grouping, names),
        names[order[0]] if names else "",
        names[order[-1]] if names else "",
        *_summaries(means, METRICS[metric].more_is_better),
    )


def _cell_means(figure: Measured, grouping: Grouping, seed: int) -> DrawnMeans:
    """Return the mean of every cell; cells of one question are the same in every draw."""
    drawn = [
        # Every cell has draws of its own: equal ones would tie cells of equal size together.
        figure.drawn(grouping.cell_of == number, _seed(seed, grouping.by, cell))
        for number, cell in enumerate(grouping.cells)
    ]
    estimates = np.concatenate([cell.estimates for cell in drawn])
    most = max(len(cell.draws) for cell in drawn)
    columns = [c.draws if len(c.draws) else np.broadcast_to(c.estimates, (most, 1)) for c in drawn]
    return DrawnMeans(estimates, np.concatenate(columns, axis=1))


def _seed(seed: int, *address: str) -> int:
    """Return the seed of one cell's draws."""
    return int(generator(seed, "groups", *address).integers(2**62))


def _group_means(cells: DrawnMeans, grouping: Grouping) -> tuple[list[str], DrawnMeans]:
    """Return the groups that have a figure, and their means: over the cells that have one."""
    known = np.isfinite(cells.estimates)
    shares = grouping.shares * known
    covered = shares.sum(axis=1)
    kept = np.flatnonzero(covered > 0)
    shares = shares[kept] / covered[kept, None]
    estimates = shares @ np.where(known, cells.estimates, 0.0)
    draws = np.where(known, cells.draws, 0.0) @ shares.T
    return [grouping.names[row] for row in kept], DrawnMeans(estimates, draws)


def _column(means: DrawnMeans, column: int) -> Interval:
    """Return one group's interval; without ends where nothing tells a spread."""
    found = DrawnMeans(means.estimates[[column]], means.draws[:, [column]]).interval(lambda mean: mean)
    certain = math.isclose(
        found.low, found.high, abs_tol=1e-12
    )  # one question, or the same figure everywhere: nothing tells a spread
    return Interval(found.estimate, math.nan, math.nan, found.level) if certain else found


def _questions(figure: Measured, grouping: Grouping, names: Sequence[str]) -> dict[str, int]:
    """Return how many questions with a figure each group rests on."""
    sizes = np.bincount(
        grouping.cell_of[figure.known & (grouping.cell_of >= 0)], minlength=len(grouping.cells)
    )
    row = {name: number for number, name in enumerate(grouping.names)}
    return {name: int(sizes[grouping.shares[row[name]] > 0].sum()) for name in names}


def _summaries(means: DrawnMeans, more_is_better: bool) -> list[Interval]:
    """Return average, worst tenth, spread and deviation over the groups."""
    if not len(means.estimates):
        return [UNKNOWN] * 4
    tenth = max(1, math.ceil(WORST_SHARE * len(means.estimates)))

    def worst(table: np.ndarray) -> np.ndarray:
        """Return the mean of the worst tenth of the groups, draw by draw."""
        ascending = np.sort(table, axis=0)
        return (ascending[:tenth] if more_is_better else ascending[-tenth:]).mean(axis=0)

    figures: list[Callable[[np.ndarray], np.ndarray]] = [
        lambda table: table.mean(axis=0),
        worst,
        lambda table: np.ptp(table, axis=0),
        lambda table: table.std(axis=0),
    ]
    return [means.interval(lambda *groups, of=of: of(np.stack(groups))) for of in figures]
