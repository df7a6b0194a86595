"""The report's section on simulated devices: facts, the loss against simulated hours, one round's timeline."""

from __future__ import annotations

from typing import Any

from shepherd.report.drawing import drawn
from shepherd.report.grid import grid
from shepherd.report.record import Record
from shepherd.report.simulated_time import clock, loss_over_hours, system_facts, time_to_loss
from shepherd.report.timeline import loss_hours_figure, timeline_figure, timeline_words, told_round
from shepherd.units import fixed


def system_section(record: Record) -> dict[str, Any] | None:
    """Return what the template shows of a run on simulated devices; None of another."""
    if not clock(record):
        return None
    hours, losses = loss_over_hours(record)
    pictures, table = [], None
    if len(losses) > 1:
        spoken = f"from {fixed(losses[0])} to {fixed(losses[-1])} in {fixed(hours[-1], 2)} simulated hours"
        pictures.append(
            drawn(loss_hours_figure(record), "hours", f"Hold-out loss against simulated time, {spoken}.")
        )
        table = grid(time_to_loss(record)) if min(losses) < losses[0] else None
    told = told_round(record)
    if told is not None:
        pictures.append(drawn(timeline_figure(record, told), "timeline", timeline_words(record, told)))
    return {
        "facts": system_facts(record),
        "pictures": pictures,
        "table": table,
        "asked": bool(record.scope("selection")),
    }
