"""Forgetting: where a tuned model does worse than the base it was tuned from."""

from __future__ import annotations

from dataclasses import dataclass

from shepherd.evaluation.group_scores import by_group
from shepherd.evaluation.groups import Grouping
from shepherd.evaluation.measured import METRICS
from shepherd.evaluation.scores import Scores
from shepherd.statistics.bootstrap import UNKNOWN, Interval


@dataclass(frozen=True)
class Forgetting:
    """One model less the base, for one metric.

    Attributes
    ----------
    label, metric : str
        The model and the metric.
    overall : Interval
        The paired difference over all questions, model less base.
    groups : dict of str to Interval
        The same by group; none without groups.
    worse : list of str
        The groups in which the model is worse than the base beyond the noise.
    """

    label: str
    metric: str
    overall: Interval
    groups: dict[str, Interval]
    worse: list[str]


def forgetting(
    scores: Scores, base: str, grouping: Grouping | None = None, seed: int = 0
) -> list[Forgetting]:
    """Return, for every other model and metric, the paired difference to the base.

    Parameters
    ----------
    scores : Scores
        The scores of the models and the base.
    base : str
        The base's label.
    grouping : Grouping, optional
        Groups to look into.
    seed : int
        The draws' seed.

    Notes
    -----
    Of twenty groups without any difference one lies outside its 95 % interval by chance; a group named here is a place
    to look, not a proof.
    """
    differences = scores.against(base)
    found = []
    for metric in differences.metrics:
        groups = (
            {g.label: g.groups for g in by_group(differences, grouping, metric.name, seed)}
            if grouping
            else {}
        )
        for model in differences.models:
            measured = model.measured.get(metric.name)
            overall = UNKNOWN if measured is None else measured.interval(seed)
            inside = groups.get(model.label, {})
            worse = [name for name, difference in inside.items() if is_worse(difference, metric.name)]
            found.append(Forgetting(model.label, metric.name, overall, inside, worse))
    return found


def is_worse(difference: Interval, metric: str) -> bool:
    """Say whether a difference to another model is for the worse, beyond the noise."""
    return difference.high < 0 if METRICS[metric].more_is_better else difference.low > 0
