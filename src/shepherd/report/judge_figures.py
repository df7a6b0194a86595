"""The pictures of a judge's results: FedIT's figure 3 with intervals, wins, and what length has to do with scores."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from shepherd.judge.model_result import JudgeResults, ModelResult
from shepherd.report.figures import plain
from shepherd.report.judge_tables import inside_noise
from shepherd.report.palette import CENTRALISED, FEDERATED, GRID, INK, REST
from shepherd.statistics.bootstrap import Interval
from shepherd.units import is_number

_WIDTH = 6.4
_MOST_ROWS = 24
_MOST_PANELS = 6
_LABEL = 26
_LEGEND: dict[str, Any] = {
    "loc": "outside upper center",
    "frameon": False,
    "fontsize": 10.5,
    "labelcolor": INK,
}


def relative_scores_figure(results: JudgeResults) -> Figure | None:
    """Draw every model's score relative to the reference's, the best on top, with whiskers: FedIT's figure 3.

    A hollow dot is inside the noise. Without a reference the mean grades are drawn. None where the judge gave
    verdicts only.
    """
    of = _relative if results.reference else _grade
    shown = _best_first(results.models, of)
    if not shown:
        return None
    figure, axes = _rows(shown)
    noise = inside_noise(results)
    for row, model in enumerate(shown):
        _draw_dot(axes, row, of(model), hollow=model.label in noise)
    _write_beside(axes, [f"{of(model).estimate:.3f}" for model in shown])
    if results.reference:
        axes.axvline(1, color=INK, linewidth=1, zorder=1)
        axes.set_xlabel(f"score relative to {plain(results.reference)} (above 1: better)")
    else:
        axes.set_xlabel(f"mean grade by {plain(results.judge)} (1 to 10)")
    _add_key(figure, any(model.label in noise for model in shown))
    return figure


def win_rates_figure(results: JudgeResults) -> Figure | None:
    """Draw the share of questions each model wins, ties and loses, and the win rate with whiskers.

    None where there is no reference to win against.
    """
    shown = _best_first(results.models, lambda model: model.win_rate)
    if not shown:
        return None
    figure, axes = _rows(shown)
    for row, model in enumerate(shown):
        _draw_shares(axes, row, model)
        _draw_dot(axes, row, model.win_rate, hollow=False, colour=INK)
    axes.axvline(0.5, color=INK, linewidth=1, zorder=3)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel(f"questions against {plain(results.reference)}")
    axes.grid(visible=False)
    _write_beside(axes, [f"{100 * model.win_rate.estimate:.0f} %" for model in shown])
    handles = [
        Line2D([], [], marker="s", ms=9, ls="", color=colour, label=n) for n, colour in _SHARES.items()
    ]
    figure.legend(handles=[*handles, _key("win rate, 95 %", INK)], ncols=4, columnspacing=1.2, **_LEGEND)
    return figure


def length_figure(results: JudgeResults, most: int = _MOST_PANELS) -> Figure | None:
    """Draw, for each model, every question's score difference against the difference in words.

    None where there are no two scores, or no answers, to compare.

    Parameters
    ----------
    results : JudgeResults
        The results.
    most : int
        The most models shown, the first ones.
    """
    clouds = [(model.label, points) for model in results.models if (points := _differences(model))][:most]
    if not clouds:
        return None
    columns = min(3, len(clouds))
    rows = math.ceil(len(clouds) / columns)
    figure = Figure(
        figsize=(max(4.2, 2.6 * columns), 0.9 + 2.5 * rows), layout="constrained", facecolor="white"
    )
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes, (label, points) in zip(panels, clouds, strict=False):
        _draw_cloud(axes, label, np.array(points, dtype=float))
    for axes in panels[len(clouds) - columns : len(clouds)]:
        axes.tick_params(labelbottom=True)  # nothing is below it, or nothing that is shown
    for axes in panels[len(clouds) :]:
        axes.set_visible(False)
    figure.supxlabel(f"words more than {plain(results.reference)}", color=INK, fontsize=11.5)
    figure.supylabel("points more than the reference", color=INK, fontsize=11.5)
    return figure


#: Wins, ties and losses: told apart in grey, too.
_SHARES = {"win": FEDERATED, "tie": GRID, "loss": CENTRALISED}


def _relative(model: ModelResult) -> Interval:
    return model.model_over_reference


def _grade(model: ModelResult) -> Interval:
    return model.mean


def _best_first(models: Sequence[ModelResult], of: Callable[[ModelResult], Interval]) -> list[ModelResult]:
    """Return the models that have a figure, by it; of very many the best."""
    known = [model for model in models if is_number(of(model).estimate)]
    return sorted(known, key=lambda model: -of(model).estimate)[:_MOST_ROWS]


def _rows(shown: Sequence[ModelResult]) -> tuple[Figure, Axes]:
    """Return a picture with a named row for each model, the first on top."""
    figure = Figure(figsize=(_WIDTH, 1.35 + 0.38 * len(shown)), layout="constrained", facecolor="white")
    axes = figure.subplots()
    _tidy(axes)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_yticks(range(len(shown)), [_name(model.label) for model in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    return figure, axes


def _name(label: str) -> str:
    """Return a label on two lines where it is long: those of single clients begin alike."""
    lines = textwrap.wrap(label, _LABEL, max_lines=2, placeholder="…")
    return "\n".join(plain(line) for line in lines)


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.tick_params(colors=INK, labelsize=11)
    axes.xaxis.label.set(color=INK, fontsize=11.5)
    axes.set_axisbelow(True)


def _draw_dot(axes: Axes, row: int, span: Interval, hollow: bool, colour: str = FEDERATED) -> None:
    if is_number(span.low):
        axes.plot(
            [span.low, span.high], [row, row], color=colour, linewidth=2, solid_capstyle="butt", zorder=4
        )
    axes.plot(
        *(span.estimate, row), "o", ms=8, mew=1.8, color=colour, mfc="white" if hollow else colour, zorder=5
    )


def _write_beside(axes: Axes, notes: Sequence[str]) -> None:
    """Write a note at the right end of every row, outside the axes."""
    for row, note in enumerate(notes):
        place: dict[str, Any] = {"xy": (1.015, row), "xycoords": ("axes fraction", "data")}
        axes.annotate(note, **place, va="center", color=INK, fontsize=10.5, annotation_clip=False)


def _key(name: str, colour: str = FEDERATED, hollow: bool = False) -> Line2D:
    face = "white" if hollow else colour
    return Line2D([], [], marker="o", ms=7, mew=1.6, lw=2, color=colour, mfc=face, label=name)


def _add_key(figure: Figure, noise: bool) -> None:
    handles = [_key("with 95 % interval"), *([_key("inside the noise", hollow=True)] if noise else [])]
    figure.legend(handles=handles, ncols=2, **_LEGEND)


def _draw_shares(axes: Axes, row: int, model: ModelResult) -> None:
    counts = np.array([model.wins, model.ties, model.losses])
    left = 0.0
    for share, colour in zip(counts / counts.sum(), _SHARES.values(), strict=True):
        axes.barh(row, share, left=left, height=0.66, color=colour, edgecolor="white", linewidth=0.6)
        left += share


def _differences(model: ModelResult) -> list[tuple[float, float]]:
    """Return (words more than the reference, points more) of every question with both."""
    return [
        (question.words - question.reference_words, question.score - question.reference_score)
        for question in model.by_question.values()
        if question.words is not None
        and question.reference_words is not None
        and is_number(question.reference_score)
    ]


def _draw_cloud(axes: Axes, label: str, points: np.ndarray) -> None:
    """Draw one model's questions, their straight line where there is one, and how far both go together."""
    words, scores = points.T
    _tidy(axes)
    axes.axhline(0, color=REST, linewidth=1, zorder=1)
    axes.axvline(0, color=REST, linewidth=1, zorder=1)
    axes.scatter(words, scores, s=22, color=FEDERATED, alpha=0.45, linewidths=0, zorder=3)
    title = plain(label, 22)
    if len(points) > 2 and np.ptp(words) > 0 and np.ptp(scores) > 0:
        slope, height = np.polyfit(words, scores, 1)
        ends = np.array([words.min(), words.max()])
        axes.plot(ends, slope * ends + height, color=INK, linewidth=1.4, zorder=4)
        title += f"\nr = {np.corrcoef(words, scores)[0, 1]:.2f}"
    axes.set_title(title, color=INK, fontsize=10.5, loc="left")
    axes.locator_params(axis="x", nbins=4)
    axes.locator_params(axis="y", nbins=7, steps=[1, 2, 5, 10])
