"""The report's section on selection: one round's picture, and what choosing cost and saved."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from shepherd.report.drawing import drawn
from shepherd.report.figures import selection_rounds_figure
from shepherd.report.record import Record
from shepherd.report.selection_costs import SelectionCosts, privacy_sentence, selection_costs, selection_facts
from shepherd.report.selection_figure import selection_figure, selection_words
from shepherd.report.selection_sketch import SelectionSketch, read_sketch
from shepherd.report.summary import section
from shepherd.units import duration


def selection_section(record: Record) -> dict[str, Any] | None:
    """Return what the template shows of a run whose clients did not train on all they have; None of another."""
    costs, sketch = selection_costs(record), read_sketch(record.path)
    if costs is None and sketch is None:
        return None
    rows = (record.environment.get("data") or {}).get("training_rows")
    return {
        "facts": selection_facts(costs, rows if isinstance(rows, int) else None) if costs else [],
        "privacy": privacy_sentence(costs) if costs else "",
        "sketch": _sketched(sketch, section(record, "coreset")) if sketch else None,
        "pictures": [_rounds(costs, record)] if costs and costs.seconds is not None else [],
    }


def _sketched(sketch: SelectionSketch, coreset: dict[str, Any]) -> dict[str, Any]:
    picture = drawn(selection_figure(sketch), "selection", selection_words(sketch))
    return {"round": sketch.round, "picture": picture, "apart": _frame(coreset) in ("tsne", "pca")}


def _frame(coreset: dict[str, Any]) -> str | None:
    """Return what groups' means are said in, by the coreset or by the one inside it."""
    inner = coreset.get("then")
    return _frame(inner) if isinstance(inner, dict) else coreset.get("frame")


def _rounds(costs: SelectionCosts, record: Record) -> Markup:
    seconds = (
        f"{duration(costs.seconds)} for choosing and {duration(costs.training_seconds)} for training in all"
    )
    groups = "" if costs.groups is None else "; beside it how many groups there were and how many survived"
    return drawn(selection_rounds_figure(record), "choosing", f"Seconds of every round, {seconds}{groups}.")
