"""The pictures of a run: one function, one picture; matplotlib without any global state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from shepherd.report.canvas import canvas, name_axes
from shepherd.report.comparison import Comparison, Row
from shepherd.report.palette import FEDERATED, INK, OTHERS, REST, UNTUNED, model_styles
from shepherd.report.record import Record
from shepherd.units import is_number

_WIDTH, _HEIGHT = 6.0, 3.9
_MOST_BARS = 16
#: What goes each way is often as much: the thin broken line lies on the broad one, and both can be seen.
UP_LINE: dict[str, Any] = {"color": OTHERS[3], "linewidth": 4.5, "label": "clients to server"}
DOWN_LINE: dict[str, Any] = {
    "color": OTHERS[2],
    "linewidth": 1.4,
    "linestyle": (0, (4, 2.5)),
    "label": "server to clients",
}


def plain(text: str, longest: int = 28) -> str:
    """Return a name that a picture shows as it is: short, one line, with matplotlib's own syntax disarmed."""
    text = " ".join(text.encode("utf-8", "replace").decode().split())
    text = "".join(letter for letter in text if letter.isprintable())
    short = text if len(text) <= longest else text[: longest - 1] + "…"
    return (" " + short if short.startswith("_") else short).replace("$", r"\$")


def loss_figure(record: Record, baselines: Sequence[Record] = ()) -> Figure:
    """Draw the hold-out loss against the rounds, for the run and its baselines."""
    return _global_figure("loss", "hold-out loss (nats per response token)", record, baselines)


def rouge_figure(record: Record, baselines: Sequence[Record] = ()) -> Figure | None:
    """Draw ROUGE-L of the answers against the rounds; nothing where the run did not measure it."""
    if not record.curve("rouge_l")[0]:
        return None
    return _global_figure("rouge_l", "ROUGE-L of the answers (0 to 1)", record, baselines)


def _global_figure(metric: str, unit: str, record: Record, baselines: Sequence[Record]) -> Figure:
    figure, (axes,) = canvas()
    _draw_untuned(axes, metric, record, baselines)
    _draw_baselines(axes, metric, [other for other in baselines if other.label != "untuned"])
    axes.plot(
        *record.curve(metric),
        color=FEDERATED,
        linewidth=2.4,
        marker="o",
        ms=4.5,
        zorder=5,
        label=plain(record.label),
    )
    name_axes(axes, "round", unit)
    if len(axes.get_lines()) > 1:
        figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=10.5, labelcolor=INK)
    return figure


def _draw_untuned(axes: Axes, metric: str, record: Record, baselines: Sequence[Record]) -> None:
    found = [other for other in (*baselines, record.as_untuned()) if other and other.label == "untuned"]
    value = found[0].final.get(metric) if found else None
    if value is not None:
        axes.axhline(value, color=UNTUNED, linestyle=(0, (5, 3)), linewidth=1.6, label="untuned")


def _draw_baselines(axes: Axes, metric: str, baselines: Sequence[Record]) -> None:
    """Draw a line each; where the colours run out, the rest are thin and grey with one entry in the key."""
    styles = model_styles([other.label for other in baselines])
    rest = sum(colour == REST for colour, _ in styles)
    named_rest = False
    for other, (colour, marker) in zip(baselines, styles, strict=True):
        if colour != REST:
            key = plain(other.label)
            axes.plot(
                *other.curve(metric), color=colour, marker=marker, ms=4, linewidth=1.4, zorder=3, label=key
            )
            continue
        axes.plot(
            *other.curve(metric), color=colour, linewidth=1, label=None if named_rest else f"{rest} more"
        )
        named_rest = True


def client_figure(record: Record) -> Figure:
    """Draw every client's local training loss in every round, and the mean of each round."""
    figure, (axes,) = canvas()
    lines = [line for line in record.scope("client") if line.get("train_loss") is not None]
    points = ([line["round"] for line in lines], [line["train_loss"] for line in lines])
    axes.scatter(*points, s=16, color=OTHERS[3], alpha=0.65, linewidths=0, label="one client")
    axes.plot(*record.train_curve(), color=FEDERATED, linewidth=2.2, label="all clients of the round")
    training = record.environment.get("training") or {}
    unit = training.get("train_loss", "nats per response token")
    name_axes(axes, "round", f"local training loss ({unit})")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=10.5, labelcolor=INK)
    return figure


def comparison_figure(comparison: Comparison) -> Figure:
    """Draw every model's final loss as a bar with its ratio to the reference, as FedIT's figure 3 does.

    Where there are many, the reference and the lowest losses are shown.
    """
    styles = model_styles([row.label for row in comparison.rows[1:]])
    coloured = list(zip(comparison.rows[1:], (colour for colour, _ in styles), strict=True))
    lowest = sorted(coloured, key=lambda pair: pair[0].loss)[: _MOST_BARS - 1]
    shown = sorted([(comparison.reference, FEDERATED), *lowest], key=lambda pair: pair[0].loss)
    figure, (axes,) = canvas()
    figure.set_size_inches(_WIDTH, 0.9 + 0.36 * len(shown))
    _draw_bars(axes, [row for row, _ in shown], [colour for _, colour in shown])
    name_axes(axes, "final hold-out loss (nats per response token)", "")
    return figure


def _draw_bars(axes: Axes, rows: Sequence[Row], colours: Sequence[str]) -> None:
    # Places, not names: names shortened to the same text would share one bar.
    bars = axes.barh(range(len(rows)), [row.loss for row in rows], color=colours, height=0.66)
    axes.set_yticks(range(len(rows)), [plain(row.label, 22) for row in rows])
    axes.bar_label(bars, [_bar_note(row) for row in rows], padding=4, fontsize=10, color=INK)
    finite = [row.loss for row in rows if np.isfinite(row.loss)]
    axes.set_xlim(0, 1.35 * max(finite, default=1.0) or 1.0)  # room for the notes behind the bars
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.tick_params(axis="y", length=0)


def _bar_note(row: Row) -> str:
    ratio = "" if row.relative_loss is None else f" ({row.relative_loss:.3f}×)"
    return f"{row.loss:.3f}{ratio}"


def traffic_figure(record: Record) -> Figure:
    """Draw the bytes sent so far in both directions, and the training speed of every round."""
    figure, (traffic, speed) = canvas(panels=2)
    for key, look in (("bytes_up", UP_LINE), ("bytes_down", DOWN_LINE)):
        rounds, sent = record.train_curve(key)
        traffic.plot(rounds, np.cumsum(sent) / 1e6, **look)
    name_axes(traffic, "round", "traffic so far (MB)")
    lines = [line for line in record.scope("round") if (line.get("machine") or {}).get("tokens_per_second")]
    rates = [line["machine"]["tokens_per_second"] for line in lines]
    speed.plot([line["round"] for line in lines], rates, color=FEDERATED, linewidth=2)
    name_axes(speed, "round", "training speed (tokens/s)")
    for axes in (traffic, speed):
        axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=10.5, labelcolor=INK)
    return figure


def selection_rounds_figure(record: Record) -> Figure:
    """Draw the seconds of every round, choosing below training; and where there are groups, how many survived."""
    grouped = bool(_sums(record, "groups"))
    figure, panels = canvas(panels=2 if grouped else 1)
    _draw_seconds(panels[0], record)
    if grouped:
        _draw_groups(panels[1], record)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=10.5, labelcolor=INK)
    return figure


def _draw_seconds(axes: Axes, record: Record) -> None:
    lines = [(line["round"], line.get("machine") or {}) for line in record.scope("round")]
    known = [(round, machine) for round, machine in lines if is_number(machine.get("selection_seconds"))]
    rounds = [round for round, _ in known]
    choosing = np.array([machine["selection_seconds"] for _, machine in known])
    training = np.array([machine.get("seconds", 0.0) for _, machine in known]) - choosing
    # Bars that touch once there are many: the gaps would be all there is to see.
    width = 0.7 if len(rounds) <= 40 else 1.0
    axes.bar(rounds, choosing, width=width, color=OTHERS[2], label="choosing")
    axes.bar(rounds, training, width=width, bottom=choosing, color=FEDERATED, label="training")
    name_axes(axes, "round", "seconds of the round")


def _draw_groups(axes: Axes, record: Record) -> None:
    for name, key, colour in (
        ("groups", "groups", REST),
        ("survivors", "surviving_groups", OTHERS[0]),
    ):
        sums = _sums(record, key)
        axes.plot(list(sums), list(sums.values()), color=colour, linewidth=2, marker="o", ms=4, label=name)
    axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    name_axes(axes, "round", "groups of all clients asked")


def _sums(record: Record, key: str) -> dict[int, float]:
    """Return a figure of the selection's lines, added up over the clients of each round."""
    found: dict[int, float] = {}
    for line in record.scope("selection"):
        if is_number(line.get(key)):
            found[line["round"]] = found.get(line["round"], 0) + line[key]
    return found
