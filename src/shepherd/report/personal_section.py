"""The report's section on clients' own adapters: a dot a client, its own adapter against everybody's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from shepherd.personal_scores import PersonalScore, read_scores
from shepherd.report.canvas import canvas, name_axes
from shepherd.report.drawing import drawn
from shepherd.report.grid import grid
from shepherd.report.palette import FEDERATED, INK
from shepherd.report.personal_table import client_table, of_pairs, summary_table, with_own
from shepherd.report.record import Record
from shepherd.units import counted, whole

_Losses = list[tuple[float, float]]


def personal_section(record: Record) -> dict[str, Any] | None:
    """Return what the template shows of a run whose clients' own adapters were tested; None of another."""
    scores = read_scores(record.path)
    if not scores:
        return None
    own = with_own(scores)
    return {
        "summary": grid(summary_table(scores)),
        "clients": grid(client_table(own)) if own else None,
        "picture": drawn(personal_figure(own), "personal", _words(own)) if own else None,
        "tested": bool(_own_tests(own)),
        "of_pairs": of_pairs(own),
    }


def _words(own: Sequence[PersonalScore]) -> str:
    """Say what the picture shows."""
    pairs = _own_tests(own)
    unseen = "what its own adapter changes of the loss on what nobody has seen"
    if not pairs:
        return f"A histogram over {counted(len(own), 'client')}: {unseen}."
    lower = sum(personal < shared for shared, personal in pairs)
    return (
        f"A dot for each of {counted(len(pairs), 'client')}: the loss of its own adapter against that of everybody's, "
        f"on its own test, where its own is the lower one for {whole(lower)}; beside it a histogram of {unseen}."
    )


def _own_tests(own: Sequence[PersonalScore]) -> _Losses:
    """Return everybody's loss and its own on each client's own test, of those that have one."""
    found = [(score.own_loss_shared, score.own_loss_personal) for score in own]
    return [(shared, personal) for shared, personal in found if shared is not None and personal is not None]


def personal_figure(own: Sequence[PersonalScore]) -> Figure:
    """Draw every client: everybody's adapter to the right, its own upwards; below the diagonal its own loss is lower.

    Without tests of the clients' own there is only the histogram over what nobody has seen.
    """
    pairs = _own_tests(own)
    figure, (*left, unseen) = canvas(2, width=9.0) if pairs else canvas()
    for axes in left:
        _dots(axes, pairs)
    # Everybody's loss on the hold-out is one number; what differs is each client's own.
    changes = [score.unseen_change for score in own]
    unseen.hist(changes, bins=min(20, 4 + len(own) // 4), color=FEDERATED, edgecolor="white")
    unseen.axvline(0, color=INK, linewidth=1, linestyle="--")
    unseen.yaxis.set_major_locator(MaxNLocator(integer=True))
    name_axes(unseen, "its own less everybody's, nats a token", "Clients, by unseen questions")
    return figure


def _dots(axes: Axes, pairs: _Losses) -> None:
    shared, personal = zip(*pairs, strict=True)
    axes.scatter(shared, personal, s=30, color=FEDERATED, alpha=0.75, linewidths=0)
    ends = [min(*shared, *personal), max(*shared, *personal)]
    axes.plot(ends, ends, color=INK, linewidth=1, linestyle="--")
    name_axes(axes, "everybody's adapter, nats a token", "Its own adapter, on its own test")
