"""The picture of scores by group: a row a group, a dot a model, and where each may lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shepherd.evaluation.group_scores import GroupScores
from shepherd.evaluation.measured import METRICS
from shepherd.report.drawing import write_figure
from shepherd.report.figures import plain
from shepherd.report.palette import GRID, INK, REST, model_styles
from shepherd.statistics.bootstrap import Interval

_MOST_GROUPS = 24


def group_figure(models: Sequence[GroupScores], against: str | None = None) -> Figure:
    """Draw every model's score in every group with its 95 % interval.

    Groups stand in the order of the first model's scores, the worst below. Of more than 24, as of clients, the best
    twelve and the worst twelve are drawn, and the axis says so.

    Parameters
    ----------
    models : sequence of GroupScores
        One metric of the models; one at least.
    against : str, optional
        The model they are the difference to; a line is drawn at 0.
    """
    names, hidden = _rows(models[0])
    width, height = 7.2, 1.6 + len(names) * max(0.36, 0.13 * len(models) + 0.14)
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    axes = figure.subplots()
    _draw(axes, models, names)
    if against:
        axes.axvline(0, color=INK, linewidth=1, zorder=2)
    heading = METRICS[models[0].metric].heading
    unit = f"{heading}{' in nats per reference token' if models[0].metric == 'loss' else ''}"
    left_out = f"; {hidden} groups in between are not shown" if hidden else ""
    axes.set_xlabel(
        f"{unit}{f', less that of {plain(against)}' if against else ''}{left_out}", color=INK, fontsize=11.5
    )
    if len(models) > 1:
        figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=10.5, labelcolor=INK)
    return figure


def _rows(first: GroupScores) -> tuple[list[str], int]:
    """Return the groups that are drawn, the best first, and how many are not."""
    best_first = sorted(
        first.groups,
        key=lambda name: first.groups[name].estimate * (-1 if METRICS[first.metric].more_is_better else 1),
    )
    if len(best_first) <= _MOST_GROUPS:
        return best_first, 0
    half = _MOST_GROUPS // 2
    return best_first[:half] + best_first[-half:], len(best_first) - _MOST_GROUPS


def _draw(axes: Axes, models: Sequence[GroupScores], names: Sequence[str]) -> None:
    styles = model_styles([model.label for model in models])
    for place, (model, (colour, marker)) in enumerate(zip(models, styles, strict=True)):
        shift = 0.7 * ((place + 0.5) / len(models) - 0.5)
        known = [(row + shift, model.groups[name]) for row, name in enumerate(names) if name in model.groups]
        label = None if colour == REST and place and styles[place - 1][0] == REST else plain(model.label)
        _dots(axes, known, colour, marker or "o", label)
    axes.set_yticks(range(len(names)), [plain(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(INK)
    axes.tick_params(colors=INK, labelsize=10.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    for row in range(1, len(names)):
        axes.axhline(row - 0.5, color=GRID, linewidth=0.5, zorder=0)
    axes.set_axisbelow(True)


def _dots(
    axes: Axes, rows: Sequence[tuple[float, Interval]], colour: str, marker: str, label: str | None
) -> None:
    heights = [height for height, _ in rows]
    for height, interval in rows:
        axes.plot([interval.low, interval.high], [height] * 2, color=colour, linewidth=1.6, zorder=3)
    estimates = [interval.estimate for _, interval in rows]
    axes.plot(estimates, heights, linestyle="", marker=marker, ms=5.5, color=colour, zorder=4, label=label)


def write_group_figure(models: Sequence[GroupScores], path: Path, against: str | None = None) -> None:
    """Write `group_figure` as PNG or SVG, by the ending of `path`; any other is refused."""
    write_figure(group_figure(models, against), path)
