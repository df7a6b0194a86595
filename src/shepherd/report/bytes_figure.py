"""The picture of what a loss costs on the wire: hold-out loss against the bytes sent so far."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from shepherd.errors import ShepherdError
from shepherd.report.canvas import WIDTH, canvas
from shepherd.report.drawing import drawn, write_figure
from shepherd.report.figures import DOWN_LINE, UP_LINE, plain
from shepherd.report.palette import FEDERATED, INK, REST, UNTUNED, model_styles
from shepherd.report.record import Record
from shepherd.units import is_number, size

#: Where one line ends after so many times as many bytes as another, equal distances are equal ratios.
_WIDE = 8.0
UP, DOWN = ("bytes_up",), ("bytes_down",)
BOTH = UP + DOWN
_Curve = tuple[list[float], list[float]]


def loss_against_bytes(record: Record, figures: Sequence[str] = BOTH) -> _Curve:
    """Return (bytes sent up to each evaluation, its loss), from the first on before which anything was sent.

    Parameters
    ----------
    record : Record
        The run.
    figures : sequence of str
        What is added up: ``bytes_up`` for what clients sent, ``bytes_down`` for what they were sent.
    """
    rounds = [(line["round"], sum(line.get(name, 0) for name in figures)) for line in record.scope("round")]
    so_far = dict(zip((number for number, _ in rounds), accumulate(sent for _, sent in rounds), strict=True))
    found = [
        (so_far[line["round"]], float(line["loss"]))
        for line in record.scope("global")
        if so_far.get(line["round"], 0) > 0 and is_number(line.get("loss"))
    ]
    return [sent for sent, _ in found], [loss for _, loss in found]


def sends(record: Record) -> bool:
    """Say whether a run is one of clients whose loss is known after they had sent something."""
    return not record.is_baseline and bool(loss_against_bytes(record)[0])


def bytes_figure(record: Record) -> Figure:
    """Draw a run's loss against what clients sent, and against what they were sent."""
    figure, (axes,) = canvas(lines="both")
    up, down = loss_against_bytes(record, UP), loss_against_bytes(record, DOWN)
    axes.plot(*up, marker="o", ms=7.5, **UP_LINE)
    axes.plot(*down, marker="s", ms=3.5, **DOWN_LINE)
    _finish(axes, [record], [up, down], "bytes sent so far")
    _legend(figure)
    return figure


def bytes_comparison(records: Sequence[Record], labels: Sequence[str]) -> Figure:
    """Draw several runs' losses against what their clients sent, and against everything that was sent.

    Parameters
    ----------
    records : sequence of Record
        The runs, the reference first.
    labels : sequence of str
        What they are called.
    """
    figure, panels = canvas(2, width=WIDTH + 1.6, share_y=True, lines="both")
    styles = [(FEDERATED, "o"), *model_styles(labels[1:])]
    for axes, figures, name in zip(panels, (UP, BOTH), ("by clients", "both ways"), strict=True):
        curves = [loss_against_bytes(record, figures) for record in records]
        rest = sum(colour == REST for colour, _ in styles)
        for curve, label, (colour, marker) in zip(curves, labels, styles, strict=True):
            key = plain(label) if colour != REST else f"{rest} more" if rest else None
            rest = 0 if colour == REST else rest
            axes.plot(*curve, color=colour, marker=marker, ms=4, linewidth=1.6, label=key)
        _finish(axes, records, curves, f"bytes sent {name} so far")
    panels[1].set_title("", loc="left")
    _legend(figure)
    return figure


def bytes_pictures(records: Sequence[Record], labels: Sequence[str]) -> list[Markup]:
    """Return `bytes_comparison` of the runs that send, as a piece of a page; nothing of fewer than two."""
    sending = sending_only(records, labels)
    if len(sending[0]) < 2:
        return []
    spoken = "; ".join(
        f"{label} {record.final['loss']:.3f} after {size(record.bytes_up)}"
        for record, label in zip(*sending, strict=True)
    )
    said = f"Hold-out loss of every run against the bytes its clients sent, and against all bytes: {spoken}."
    return [drawn(bytes_comparison(*sending), "bytes", said)]


def write_bytes_figure(records: Sequence[Record], labels: Sequence[str], path: Path) -> None:
    """Write `bytes_comparison` of the runs that send, as PNG or SVG, by the ending of `path`.

    Raises
    ------
    ShepherdError
        For any other ending, and if no run has sent anything before an evaluation.
    """
    sending = sending_only(records, labels)
    if not sending[0]:
        raise ShepherdError(
            "--figure draws the loss against the bytes sent, and none of these runs was evaluated after a round; give "
            "federated runs, or add --seeds."
        )
    write_figure(bytes_comparison(*sending), path)


def sending_only(records: Sequence[Record], labels: Sequence[str]) -> tuple[list[Record], list[str]]:
    """Return the runs whose clients send, and what they are called; baselines train in one place."""
    found = [(record, label) for record, label in zip(records, labels, strict=True) if sends(record)]
    return [record for record, _ in found], [label for _, label in found]


def _finish(axes: Axes, records: Sequence[Record], curves: Sequence[_Curve], x: str) -> None:
    """Draw the untuned base, and give the axes their names and scales."""
    untuned = next((line["loss"] for line in (record.untuned for record in records) if line), None)
    if untuned is not None and is_number(untuned):
        axes.axhline(untuned, color=UNTUNED, linestyle=(0, (5, 3)), linewidth=1.6, label="untuned")
    ends = [sent[-1] for sent, _ in curves if sent]
    if ends and max(ends) > _WIDE * min(ends):
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _without_zeros(size(value))))
    axes.set_xlabel(x, color=INK, fontsize=11.5)
    axes.set_title("hold-out loss (nats per response token)", color=INK, fontsize=11.5, loc="left", pad=10)


def _without_zeros(text: str) -> str:
    """Return 10.0 MB as 10 MB."""
    number, _, unit = text.partition(" ")
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {unit}"


def _legend(figure: Figure) -> None:
    """Name every line once, below the panels."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=10.5,
        labelcolor=INK,
    )
