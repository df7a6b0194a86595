"""Pictures of a run on simulated devices: one round client by client, and the loss against simulated hours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from shepherd.report.figures import plain
from shepherd.report.palette import FEDERATED, GRID, INK, OTHERS
from shepherd.report.record import Record
from shepherd.report.simulated_time import clock, loss_over_hours
from shepherd.run_files import Metric

_MOST = 24
_MARK = 7.0  # points: a cross or an arrow
_PARTS = (("download", OTHERS[3]), ("compute", FEDERATED), ("upload", OTHERS[0]))
_UNITS = ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))


def told_round(record: Record) -> int | None:
    """Return the round whose timeline is told: the last in which anybody took part; None if nobody ever did."""
    return max((line["round"] for line in _ways(record)), default=None)


def timeline_figure(record: Record, round: int) -> Figure:
    """Draw what every client of a round did when: receive, compute, send, wait; and who was lost or late.

    Where there are many, the fastest, the slowest, and some between are shown.
    """
    hours = clock(record)
    began, ended = 3600 * hours.get(round - 1, 0.0), 3600 * hours[round]
    everybody = sorted((line for line in _ways(record) if line["round"] == round), key=_end)
    shown = _some(everybody)
    unit, name = _unit(ended - began)
    figure = Figure(figsize=(6.0, 1.8 + 0.26 * len(shown)), layout="constrained", facecolor="white")
    axes = figure.subplots()
    for place, line in enumerate(shown):
        _draw_way(axes, place, line, (began, ended), unit)
    axes.axvline((ended - began) / unit, color=INK, linewidth=1.2)
    if any(line["simulated_start_seconds"] < began for line in shown):
        axes.axvline(0, color=INK, linewidth=1.2)
    axes.set_yticks(range(len(shown)), [plain(str(line["client"]), 18) for line in shown])
    axes.invert_yaxis()
    _dress(axes, f"{name} since the round began", _heading(round, len(shown), len(everybody)))
    # Room for the mark of a client that was lost before anything was sent, which stands on the axis.
    axes.tick_params(axis="y", length=0, pad=_MARK + 2)
    marks = {"dropped": ("x", "lost"), "late": (">", "late")}
    fates = {line["fate"] for line in shown}
    key: list[Any] = [Patch(color=colour, label=part) for part, colour in _PARTS]
    if "idle_share" in _round_line(record, round) and "arrived" in fates and _anybody_waits(record, round):
        key.append(Patch(color=GRID, label="waiting"))
    key += [
        Line2D([], [], color=OTHERS[2], marker=marker, linestyle="", ms=_MARK, mew=2, label=word)
        for fate, (marker, word) in marks.items()
        if fate in fates
    ]
    figure.legend(
        handles=key, loc="outside lower center", ncols=3, frameon=False, fontsize=10, labelcolor=INK
    )
    return figure


def timeline_words(record: Record, round: int) -> str:
    """Return what the timeline shows, for those who do not see it."""
    fates = [line["fate"] for line in _ways(record) if line["round"] == round]
    seconds = _round_line(record, round)["simulated_seconds"]
    return (
        f"Timeline of round {round}, {seconds:,.1f} simulated seconds: {fates.count('arrived')} updates arrived, "
        f"{fates.count('late')} were late, {fates.count('dropped')} clients were lost."
    )


def loss_hours_figure(record: Record) -> Figure:
    """Draw the hold-out loss against simulated time."""
    figure = Figure(figsize=(6.0, 3.9), layout="constrained", facecolor="white")
    axes = figure.subplots()
    hours, losses = loss_over_hours(record)
    unit, name = _unit(3600 * hours[-1])
    times = [3600 * hour / unit for hour in hours]
    axes.plot(times, losses, color=FEDERATED, linewidth=2.4, marker="o", ms=4.5)
    _dress(axes, f"simulated {name}", "hold-out loss (nats per response token)")
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    return figure


def _ways(record: Record) -> list[Metric]:
    """Return the lines of clients on the simulated clock, used or not."""
    lines = [*record.scope("client"), *record.scope("missing")]
    return [line for line in lines if "simulated_start_seconds" in line]


def _round_line(record: Record, round: int) -> Metric:
    return next(line for line in record.scope("round") if line["round"] == round)


def _anybody_waits(record: Record, round: int) -> bool:
    return bool(_round_line(record, round).get("idle_share", 0.0) > 0)


def _unit(span: float) -> tuple[float, str]:
    """Return the unit to tell a span of seconds in: its length in seconds, and its name."""
    return next(((seconds, name) for seconds, name in _UNITS if span >= 2 * seconds), _UNITS[-1])


def _end(line: Metric) -> float:
    return float(line["simulated_start_seconds"] + line["simulated_seconds"])


def _some(lines: Sequence[Metric]) -> list[Metric]:
    """Return at most so many lines, evenly from the first to the last."""
    if len(lines) <= _MOST:
        return list(lines)
    return [lines[round(place * (len(lines) - 1) / (_MOST - 1))] for place in range(_MOST)]


def _heading(round: int, shown: int, everybody: int) -> str:
    of = f", {shown} of {everybody:,} clients" if shown < everybody else ""
    return f"round {round}{of}"


def _draw_way(axes: Axes, place: int, line: Metric, span: tuple[float, float], unit: float) -> None:
    began, ended = span
    at = (line["simulated_start_seconds"] - began) / unit
    for part, colour in _PARTS:
        width = line[f"simulated_{part}_seconds"] / unit
        axes.barh(place, width, left=at, height=0.68, color=colour)
        at += width
    left = (ended - began) / unit - at
    if line["fate"] == "arrived" and "staleness" not in line and left > 0:
        axes.barh(place, left, left=at, height=0.68, color=GRID)
    elif line["fate"] != "arrived":
        marker = "x" if line["fate"] == "dropped" else ">"
        axes.plot(at, place, marker=marker, color=OTHERS[2], ms=_MARK, mew=2, clip_on=False, zorder=5)


def _dress(axes: Axes, x: str, title: str) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.tick_params(colors=INK, labelsize=10)
    axes.set_axisbelow(True)
    axes.set_xlabel(x, color=INK, fontsize=11.5)
    axes.set_title(title, color=INK, fontsize=11.5, loc="left", pad=10)
