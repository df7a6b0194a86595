"""FedIT's Fig. 2: which categories the clients hold, and one client beside all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from shepherd.data.heterogeneity import Heterogeneity
from shepherd.report.palette import PARTS

_GREY = "#BBBBBB"
_PALE: dict[str, Any] = {"alpha": 0.45, "hatch": "////", "edgecolor": "white"}


def _label(text: str, width: int = 24) -> str:
    """Return a name that fits, with matplotlib's own syntax ($ and a leading _) made harmless."""
    half = width // 2
    short = text if len(text) <= width else f"{text[:half]}…{text[half + 1 - width :]}"
    short = short.replace("$", r"\$")
    return f" {short}" if short.startswith("_") else short


def _grouped(h: Heterogeneity) -> tuple[list[str], list[str], np.ndarray]:
    """Return labels, colours and counts, shape (clients, groups), of the categories worth a colour.

    The largest categories come first; what is beyond the palette is one grey group.
    """
    order = np.argsort(-h.whole, kind="stable")
    first, rest = order[: len(PARTS)], order[len(PARTS) :]
    labels = [_label(h.categories[k]) for k in first]
    colours = list(PARTS[: len(first)])
    if not len(rest):
        return labels, colours, h.counts[:, first]
    others = h.counts[:, rest].sum(axis=1, keepdims=True)
    labels, colours = [*labels, f"{len(rest):,} others"], [*colours, _GREY]
    return labels, colours, np.hstack([h.counts[:, first], others])


def _typical(h: Heterogeneity, shown: int) -> int:
    """Return the shown client whose divergence from the whole is the median one."""
    return int(np.argsort(h.divergence[:shown], kind="stable")[(shown - 1) // 2])


def _draw_clients(axes: Axes, names: list[str], counts: np.ndarray, colours: list[str]) -> None:
    """Draw one stacked horizontal bar per client, the first on top."""
    places = np.arange(len(names))
    left = np.zeros(len(names), dtype=np.int64)
    for k, colour in enumerate(colours):
        axes.barh(places, counts[:, k], left=left, color=colour, edgecolor="white", linewidth=0.6)
        left += counts[:, k]
    axes.set_yticks(places, [_label(name, 16) for name in names])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.03 * left.max())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("examples")
    axes.set_ylabel("client")


def _draw_one_and_all(axes: Axes, one: np.ndarray, every: np.ndarray, colours: list[str], name: str) -> None:
    """Draw the category shares of one client (solid) beside those of all clients (pale, hatched)."""
    places = np.arange(len(colours))
    axes.barh(places - 0.2, 100 * one, height=0.38, color=colours)
    axes.barh(places + 0.2, 100 * every, height=0.38, color=colours, **_PALE)
    axes.invert_yaxis()
    axes.set_yticks([])
    axes.set_xlabel("share of examples (%)")
    axes.set_title(f"Client {_label(name, 16)} against all", loc="left")


def _add_legends(figure: Figure, labels: list[str], colours: list[str], name: str) -> None:
    """Put the legends beside the panels, where no bar can be hidden."""
    categories = [Patch(facecolor=c, label=text) for c, text in zip(colours, labels, strict=True)]
    figure.legend(handles=categories, loc="outside right upper", frameon=False, title="category")
    one = Patch(facecolor="#555555", label=f"client {_label(name, 16)}")
    every = Patch(facecolor="#555555", label="all clients", **_PALE)
    figure.legend(handles=[one, every], loc="outside right lower", frameon=False)


def _plain(figure: Figure) -> None:
    """Leave out the ink that says nothing."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
        axes.set_axisbelow(True)


def heterogeneity_figure(h: Heterogeneity, clients: int = 10) -> Figure:
    """Draw the category distributions of the first clients, and of a typical one against all.

    Parameters
    ----------
    h : Heterogeneity
        What to show.
    clients : int
        Clients to show at most.

    Returns
    -------
    matplotlib.figure.Figure
        With its own Agg canvas: no global state, nothing to close. The second panel shows the client of
        the first whose Jensen-Shannon divergence from the whole is the median one.

    Notes
    -----
    FedIT (arXiv 2305.05644), Fig. 2.
    """
    shown = max(1, min(clients, len(h.names)))
    labels, colours, counts = _grouped(h)
    figure = Figure(figsize=(11.5, max(3.8, 1.4 + 0.32 * shown)), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    _draw_clients(left, h.names[:shown], counts[:shown], colours)
    title = "All clients"
    if shown < h.population:
        first = "" if h.sampled else "The first "
        title = f"{first}{shown:,} of {h.population:,} clients"
    left.set_title(title, loc="left")
    one = _typical(h, shown)
    every = counts.sum(axis=0)
    _draw_one_and_all(right, counts[one] / counts[one].sum(), every / every.sum(), colours, h.names[one])
    _add_legends(figure, labels, colours, h.names[one])
    _plain(figure)
    return figure
