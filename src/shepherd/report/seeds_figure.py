"""The picture of methods over seeds: every seed a dot, every mean a bar."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shepherd.report.drawing import drawn, write_figure
from shepherd.report.figures import plain
from shepherd.report.palette import FEDERATED, GRID, INK
from shepherd.report.seeds import SeedComparison, Spread
from shepherd.units import fixed

_DOTS: dict[str, Any] = {"s": 40, "alpha": 0.65, "edgecolors": "white", "linewidths": 0.8}


def seeds_figure(comparison: SeedComparison) -> Figure:
    """Draw a row per method with a dot per seed and a bar at their mean: loss and, if measured, ROUGE-L.

    A seed has the same height in every row, so that what is paired can be followed down the picture.
    """
    panels = [("loss", "final hold-out loss\n(nats per response token)")]
    if comparison.has("rouge_l"):
        panels.append(("rouge_l", "ROUGE-L of the answers\n(0 to 1)"))
    rows = len(comparison.methods)
    figure = Figure(figsize=(2.6 + 3.2 * len(panels), 1.5 + 0.42 * rows), layout="constrained")
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)
    for axes, (name, unit) in zip(grid[0], panels, strict=True):
        _draw_dots(axes, comparison, name)
        axes.set_xlabel(unit, color=INK, fontsize=11.5)
    first = grid[0][0]
    first.set_yticks(range(rows), [plain(method.label) for method in comparison.methods])
    first.set_ylim(rows - 0.5, -0.5)  # the reference on top
    first.scatter([], [], color=INK, label="one seed", **_DOTS)
    first.scatter([], [], color=INK, marker="|", s=170, linewidths=2.6, label="mean")
    figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=10.5, labelcolor=INK)
    return figure


def _draw_dots(axes: Axes, comparison: SeedComparison, name: str) -> None:
    seeds = sorted({seed for method in comparison.methods for seed in method.seeds})
    height = {seed: 0.4 * (position + 0.5) / len(seeds) - 0.2 for position, seed in enumerate(seeds)}
    for row, method in enumerate(comparison.methods):
        colour = FEDERATED if method is comparison.reference else INK  # the rows are named; colour need not
        spread: Spread = getattr(method, name)
        values = {seed: value for seed, value in spread.by_seed.items() if math.isfinite(value)}
        places = [row + height[seed] for seed in values]
        axes.scatter(list(values.values()), places, color=colour, zorder=4, **_DOTS)
        if spread.mean is not None:  # a NaN draws nothing
            axes.plot([spread.mean] * 2, [row - 0.32, row + 0.32], color=colour, linewidth=2.6, zorder=3)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(INK)
    axes.tick_params(colors=INK, labelsize=11)
    axes.tick_params(axis="y", length=0)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.locator_params(axis="x", nbins=5)


def seeds_picture(comparison: SeedComparison) -> Markup:
    """Return `seeds_figure` as a piece of a page."""
    means = "; ".join(f"{method.label} {fixed(method.loss.mean)}" for method in comparison.methods)
    said = f"Final hold-out loss of every method, a dot for each seed and a bar at the mean: {means}."
    return drawn(seeds_figure(comparison), "seeds", said)


def write_seeds_figure(comparison: SeedComparison, path: Path) -> None:
    """Write `seeds_figure` as PNG or SVG, by the ending of `path`; any other is refused."""
    write_figure(seeds_figure(comparison), path)
