"""The picture of a sweep: loss, and ROUGE-L if measured, against a value that was tried; a line for every other."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from shepherd.report.figures import plain
from shepherd.report.palette import CLIENTS, GRID, INK, REST
from shepherd.report.seeds import Spread
from shepherd.report.sweep_table import SweepLine, SweepResults
from shepherd.units import is_number

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
_BARS = "(bars: a standard deviation over the seeds)"
_MOST_TICKS = 10
_LETTERS = 10  # of the key, an inch
_ASIDE = 0.006  # of the axis, from one line to the next
_SPREAD = 10  # times the smallest: values farther apart than that get a logarithmic axis


def sweep_figure(results: SweepResults) -> Figure:
    """Draw the means over the seeds with their standard deviations, against the first key that is a number.

    Every combination of the other keys has a line of its own. Where no key is a number, the first is named below
    and its dots stand beside one another.
    """
    panels = [("loss", "final hold-out loss (nats per response token)")]
    if results.has_rouge:
        panels.append(("rouge_l", "ROUGE-L of the answers (0 to 1)"))
    figure = Figure(figsize=(0.6 + 4.9 * len(panels), 4.2), layout="constrained", facecolor="white")
    place = _across(results)
    lines = _by_others(results, place)
    for axes, (name, unit) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _frame(axes, unit)
        _draw(axes, results, place, lines, name)
    if len(lines) > 1:
        handles, labels = figure.axes[0].get_legend_handles_labels()
        columns = max(1, int(_LETTERS * figure.get_figwidth() / (6 + max(map(len, labels)))))
        looks = {"frameon": False, "fontsize": 10.5, "labelcolor": INK, "ncols": columns}
        figure.legend(handles, labels, loc="outside lower center", **looks)
    return figure


def _across(results: SweepResults) -> int | None:
    """Return the place of the key along the axis, the first whose values are all numbers; None if none is."""
    places = range(len(results.keys))
    return next((p for p in places if all(line.numbers[p] is not None for line in results.lines)), None)


def _by_others(results: SweepResults, place: int | None) -> dict[str, list[SweepLine]]:
    """Return the lines to draw: the combinations that differ along the axis only, by what they have in common."""
    along = place or 0
    found: dict[str, list[SweepLine]] = {}
    for line in results.lines:
        pairs = list(zip(results.keys, line.values, strict=True))
        others = [f"{key}={value}" for key, value in (*pairs[:along], *pairs[along + 1 :])]
        found.setdefault(", ".join(others), []).append(line)
    return found


def _frame(axes: Axes, unit: str) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.tick_params(colors=INK, labelsize=11)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_title(unit, color=INK, fontsize=11.5, loc="left", pad=10)


def _draw(
    axes: Axes, results: SweepResults, place: int | None, lines: dict[str, list[SweepLine]], name: str
) -> None:
    if place is None:
        _draw_dots(axes, results, list(lines.items()), name)
    else:
        _draw_lines(axes, results, place, list(lines.items()), name)
    key = [plain(results.keys[place or 0])] if results.keys else []
    several = any(line.method.loss.deviation is not None for line in results.lines)
    axes.set_xlabel("\n".join([*key, _BARS] if several else key), color=INK, fontsize=11.5)


def _draw_lines(
    axes: Axes, results: SweepResults, place: int, lines: list[tuple[str, list[SweepLine]]], name: str
) -> None:
    """Draw a line with error bars for every combination of the other keys."""

    def number(line: SweepLine) -> float:
        """Return the value along the axis."""
        value = line.numbers[place]
        return math.nan if value is None else value

    written = {number(line): line.values[place] for line in sorted(results.lines, key=number)}
    _scale(axes, written)
    for position, (label, members) in enumerate(lines):
        ordered = sorted(members, key=number)
        places = _aside(list(map(number, ordered)), list(written), position - (len(lines) - 1) / 2)
        _bars(axes, places, ordered, name, label, position, linestyle="-")


def _scale(axes: Axes, written: dict[float, str]) -> None:
    """Mark the values that were tried, on a logarithmic axis where they are far apart."""
    if _is_wide(list(written)):
        axes.set_xscale("log")
    if len(written) <= _MOST_TICKS:
        axes.set_xticks(list(written), [plain(words, 12) for words in written.values()])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())


def _is_wide(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) / min(values) > _SPREAD


def _aside(places: list[float], tried: list[float], steps: float) -> list[float]:
    """Return places a little aside, so that the bars of several lines do not hide one another."""
    low, high = min(tried), max(tried)
    if _is_wide(tried):
        return [place * (high / low) ** (_ASIDE * steps) for place in places]
    return [place + (high - low) * _ASIDE * steps for place in places]


def _draw_dots(
    axes: Axes, results: SweepResults, lines: list[tuple[str, list[SweepLine]]], name: str
) -> None:
    names = list(dict.fromkeys(line.label for line in results.lines))
    step = 0.6 / len(lines)
    for position, (label, members) in enumerate(lines):
        aside = step * (position - (len(lines) - 1) / 2)
        places = [names.index(line.label) + aside for line in members]
        _bars(axes, places, members, name, label, position, linestyle="none")
    axes.set_xticks(range(len(names)), [plain(word, 16) for word in names])
    axes.set_xlim(-0.5, len(names) - 0.5)


def _bars(
    axes: Axes,
    places: Sequence[float],
    lines: Sequence[SweepLine],
    name: str,
    label: str,
    position: int,
    linestyle: str,
) -> None:
    """Draw one line's means with a standard deviation up and down; where the colours run out, in grey."""
    spreads: list[Spread] = [getattr(line.method, name) for line in lines]
    means = [s.mean if s.mean is not None and is_number(s.mean) else math.nan for s in spreads]
    own = position < len(CLIENTS)
    key = plain(label, 60) if own else "others" if position == len(CLIENTS) else None
    axes.errorbar(
        places,
        means,
        yerr=[math.nan if spread.deviation is None else spread.deviation for spread in spreads],
        label=key,
        color=CLIENTS[position] if own else REST,
        marker=_MARKERS[position % len(_MARKERS)],
        linestyle=linestyle,
        markersize=6,
        linewidth=1.8,
        elinewidth=1.2,
        capsize=3,
        zorder=3 if own else 2,
    )
