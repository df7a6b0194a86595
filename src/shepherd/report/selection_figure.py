"""One round's selection as a picture: some clients' examples in groups, and all groups as the server sees them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from shepherd.report.figures import plain
from shepherd.report.palette import CLIENTS, GRID, INK, PARTS, REST
from shepherd.report.selection_sketch import ClientGroups, SelectionSketch

_WIDTH = 11.5
_SHAPES = ("o", "s", "^", "D", "v", "P", "X")
_RING: dict[str, Any] = {"edgecolors": INK, "linewidths": 1.1, "zorder": 3}


def selection_figure(sketch: SelectionSketch) -> Figure:
    """Draw a round's selection.

    On the left are some clients, each in a plane of its own: colour and shape are the group, grey dots are in none,
    stars are trained on. On the right is one plane with every client's groups: colour and shape are the client, and
    ringed groups survive.
    """
    columns = math.ceil(math.sqrt(len(sketch.clients)))
    rows = math.ceil(len(sketch.clients) / columns)
    figure = Figure(figsize=(_WIDTH, max(4.6, 1.2 + 1.75 * rows)), layout="constrained", facecolor="white")
    ((left, right),) = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.25, 1))
    _draw_clients(left, sketch.clients, rows, columns)
    _draw_server(right, sketch)
    return figure


def selection_words(sketch: SelectionSketch) -> str:
    """Return what the picture shows, for those who do not see it."""
    asked = _number(sketch.clients_asked, "client")
    shown = "; ".join(
        f"{client.name} trains on {client.selected:,} of {_number(client.examples, 'example')} in "
        f"{_number(client.groups, 'group')}"
        for client in sketch.clients
    )
    return (
        f"Selection of round {sketch.round}: {asked} made {_number(sketch.groups_found, 'group')} of their examples; "
        f"{sketch.groups_survived:,} survived at the server. {shown}."
    )


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _draw_clients(part: SubFigure, clients: Sequence[ClientGroups], rows: int, columns: int) -> None:
    """Draw small multiples, one a client."""
    _name_part(part, "At the clients: their own examples, and how many they train on")
    grid = part.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(clients) :]:
        axes.set_axis_off()
    for axes, client in zip(grid, clients, strict=False):
        _draw_client(axes, client)
    key = [
        _entry("o", PARTS[0], "in a group"),
        _entry(".", REST, "in none"),
        _entry("*", PARTS[0], "trained on", ringed=True, size=13),
    ]
    part.legend(handles=key, loc="outside lower center", ncols=3, frameon=False, fontsize=10, labelcolor=INK)


def _draw_client(axes: Axes, client: ClientGroups) -> None:
    _clear(axes)
    lonely = client.labels < 0
    _dots(axes, client.points[lonely], s=9, color=REST, linewidths=0)
    size = 22 if len(client.points) <= 120 else 11
    for group in np.unique(client.labels[~lonely]):
        own = client.points[client.labels == group]
        colour, shape = _style(int(group))
        _dots(axes, own, s=size, color=colour, marker=shape, alpha=0.75, linewidths=0)
    stars = 110 if len(client.chosen) <= 12 else 50
    colours = [_style(int(label))[0] for label in client.labels[client.chosen]]
    chosen = client.points[client.chosen]
    # A white halo, since a star often lies upon examples of its own colour.
    _dots(axes, chosen, s=2.2 * stars, c="white", marker="*", linewidths=0, zorder=3)
    _dots(axes, chosen, s=stars, c=colours, marker="*", **_RING)
    title = f"{_called(client.name)}: {client.selected:,} of {client.examples:,}"
    axes.set_title(title, color=INK, fontsize=9.5, loc="left", pad=4)


def _dots(axes: Axes, points: np.ndarray, **style: Any) -> None:
    axes.scatter(points[:, 0], points[:, 1], **style)


def _style(group: int) -> tuple[str, str]:
    """Return a group's colour, or grey of none, and its shape: where the colours run out, the shapes go on."""
    if group < 0:
        return REST, "o"
    return PARTS[group % len(PARTS)], _SHAPES[group // len(PARTS) % len(_SHAPES)]


def _draw_server(part: SubFigure, sketch: SelectionSketch) -> None:
    """Draw all groups' means; clients beyond the palette are grey."""
    _name_part(part, "At the server: every client's groups")
    axes = part.subplots()
    _clear(axes)
    styles = _client_styles(sketch)
    size = 75 if sketch.survived.sum() <= 60 else 30
    # Everybody without a colour at once and first: there may be thousands.
    everybody: list[tuple[str | None, tuple[str, str]]] = [(None, (REST, "o")), *styles.items()]
    for name, (colour, shape) in everybody:
        own = np.array([(owner if owner in styles else None) == name for owner in sketch.owners], bool)
        lost, kept = sketch.means[own & ~sketch.survived], sketch.means[own & sketch.survived]
        _dots(axes, lost, s=26, color=colour, marker=shape, alpha=0.4, linewidths=0)
        _dots(axes, kept, s=size, color=colour, marker=shape, **_RING)
    title = f"{sketch.groups_survived:,} of {_number(sketch.groups_found, 'group')} survive"
    axes.set_title(title, color=INK, fontsize=10, loc="left", pad=4)
    key = [_entry(shape, colour, _called(name)) for name, (colour, shape) in styles.items()]
    beyond = sketch.clients_asked - len(styles)
    key += [_entry("o", REST, f"{beyond:,} more")] if beyond > 0 else []
    key.append(_entry("o", "white", "survives", ringed=True, size=9))
    part.legend(
        handles=key,
        loc="outside lower center",
        ncols=3,
        columnspacing=1,
        handletextpad=0.3,
        frameon=False,
        fontsize=9.5,
        labelcolor=INK,
    )


def _client_styles(sketch: SelectionSketch) -> dict[str, tuple[str, str]]:
    """Return a colour and a shape for each client that is shown on the left."""
    names = [client.name for client in sketch.clients]
    shapes = (*_SHAPES, *_SHAPES)
    return dict(zip(names, zip(CLIENTS, shapes, strict=False), strict=False))


def _called(name: str) -> str:
    """Return a client's name; a bare number is said to be a client's."""
    return f"client {plain(name, 8)}" if name.isdigit() else plain(name, 13)


def _name_part(part: SubFigure, title: str) -> None:
    part.suptitle(title, color=INK, fontsize=11.5, x=0.01, ha="left")


def _clear(axes: Axes) -> None:
    """Leave the frame only: the coordinates have no unit."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(GRID)
    axes.margins(0.08)


def _entry(shape: str, colour: str, text: str, ringed: bool = False, size: float = 7) -> Line2D:
    edge = {"markeredgecolor": INK, "markeredgewidth": 1.1} if ringed else {"markeredgewidth": 0}
    return Line2D([], [], linestyle="", marker=shape, color=colour, markersize=size, label=text, **edge)
