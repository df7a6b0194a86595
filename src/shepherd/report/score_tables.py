"""Scores without a judge as tables: every model over all questions, and by group with the worst and the spread."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.table import Table

from shepherd.evaluation.group_scores import GroupScores, by_group, corrected
from shepherd.evaluation.groups import Grouping
from shepherd.evaluation.measured import METRICS, Metric
from shepherd.evaluation.scores import ModelScores, Scores
from shepherd.report.group_notes import group_notes
from shepherd.report.intervals import difference_text, noise_note, with_ends
from shepherd.report.tables import Column, csv_text, line_table
from shepherd.statistics import bootstrap
from shepherd.statistics.bootstrap import UNKNOWN, Interval
from shepherd.units import fixed, percent, signed


def overall_table(scores: Scores, seed: int = 0) -> Table:
    """Return every model over all questions: the metrics with their intervals, and the answers' length."""
    columns = [_metric_column(metric, seed) for metric in scores.metrics]
    columns.append(Column("Words", lambda m: m.mean_words, lambda m: fixed(m.mean_words, 1)))
    columns.append(Column("Cut", lambda m: m.cut_share, lambda m: percent(m.cut_share)))
    notes = " ".join(scores.notes)
    caption = (
        "±: half of the 95 % interval over questions. Loss in nats per reference token. Words: of an answer. Cut: "
        f"answers that ran into the most tokens allowed. {notes}"
    )
    title = f"The answers to {len(scores.questions)} questions against their references"
    return line_table(title, caption.strip(), "Model", scores.models, columns)


def _metric_column(metric: Metric, seed: int) -> Column[ModelScores]:
    """Return the column of a metric's means with their half widths."""

    def interval(model: ModelScores) -> Interval:
        """Return the metric's mean; unknown where the model has no such figure."""
        measured = model.measured.get(metric.name)
        return UNKNOWN if measured is None else measured.interval(seed)

    return Column(
        metric.heading,
        lambda model: interval(model).estimate,
        lambda model: with_half_width(interval(model)),
        max if metric.more_is_better else min,
    )


def with_half_width(interval: Interval) -> str:
    """Return a figure and half the width of its interval, where it has one: ``0.213 ±0.021``."""
    if math.isnan(interval.half_width):
        return fixed(interval.estimate)
    return f"{fixed(interval.estimate)} ±{fixed(interval.half_width)}"


def difference_table(scores: Scores, against: str, seed: int = 0, note: str = "") -> Table:
    """Return the models' paired differences to the model `against`.

    Parameters
    ----------
    scores : Scores
        The scores.
    against : str
        The model that the others are compared with.
    seed : int
        The draws' seed.
    note : str
        A sentence about that model, to stand below the table.
    """
    differences = scores.against(against)
    found = _corrected(_intervals(differences, seed))
    columns = [_difference_column(metric, found) for metric in differences.metrics]
    columns.append(Column("Words", lambda m: m.mean_words, lambda m: signed(m.mean_words, 1)))
    caption = (
        f"Model less {against}, question by question, on those that both answered; in brackets: the 95 % interval. "
        f"{noise_note(list(found.values()))} {note}"
    )
    return line_table(f"Differences to {against}", caption.strip(), "Model", differences.models, columns)


#: By model and metric.
_Intervals = dict[tuple[str, str], Interval]


def _intervals(scores: Scores, seed: int) -> _Intervals:
    """Return every figure of every model."""
    return {
        (model.label, name): measured.interval(seed)
        for model in scores.models
        for name, measured in model.measured.items()
    }


def _corrected(differences: _Intervals) -> _Intervals:
    """Return differences with p-values corrected for all of them together: they stand in one table."""
    return dict(zip(differences, bootstrap.corrected(list(differences.values())), strict=True))


def _difference_column(metric: Metric, found: _Intervals) -> Column[ModelScores]:
    """Return the column of a metric's differences."""

    def text(model: ModelScores) -> str:
        """Return one model's difference, with the ends of its interval."""
        return difference_text(found.get((model.label, metric.name), UNKNOWN))

    return Column(metric.heading, lambda _: None, text)


@dataclass(frozen=True)
class _Line:
    """A line of a table by group: its name, and what it says of every model."""

    label: str
    cells: list[str]


def group_table(
    scores: Scores,
    grouping: Grouping,
    metric: str,
    against: str | None = None,
    seed: int = 0,
) -> Table:
    """Return a metric by group: a line a group, a column a model; average, worst and spread at the end.

    Parameters
    ----------
    scores, grouping, metric
        What is shown.
    against : str, optional
        Show paired differences to this model.
    seed : int
        The draws' seed.
    """
    found = by_group(scores.against(against) if against else scores, grouping, metric, seed)
    if against:
        found = corrected(found)
    write = difference_text if against else with_half_width
    lines = [*_group_lines(found, grouping, write), *_summary_lines(found, write)]
    columns = [_model_column(model.label, place) for place, model in enumerate(found)]
    title = f"{METRICS[metric].heading} by {grouping.by}" + (f", less {against}" if against else "")
    caption = " ".join(group_notes(grouping, metric, found, against))
    return line_table(title, caption, grouping.by.capitalize(), lines, columns)


def _model_column(label: str, place: int) -> Column[_Line]:
    return Column(label, lambda _: None, lambda line: line.cells[place])


def _group_lines(
    models: Sequence[GroupScores], grouping: Grouping, write: Callable[[Interval], str]
) -> Iterator[_Line]:
    for number, name in enumerate(grouping.names):
        label = f"{name} ({grouping.questions_of(number)})"
        yield _Line(label, [write(model.groups.get(name, UNKNOWN)) for model in models])


def _summary_lines(models: Sequence[GroupScores], write: Callable[[Interval], str]) -> list[_Line]:
    if not models or len(models[0].groups) < 2:
        return []
    tenth = [_Line("worst tenth", [with_ends(model.worst_tenth) for model in models])]
    return [
        _Line("average of groups", [write(model.average) for model in models]),
        _Line("worst group", [f"{m.worst}: {write(m.groups[m.worst])}" for m in models]),
        *(tenth if len(models[0].groups) > 10 else ()),  # of ten groups or fewer it is the worst one
        _Line("best group", [f"{m.best}: {write(m.groups[m.best])}" for m in models]),
        _Line("spread (best − worst)", [with_ends(model.spread) for model in models]),
        _Line("standard deviation", [with_ends(model.deviation) for model in models]),
    ]


def to_csv(
    scores: Scores, grouping: Grouping | None = None, against: str | None = None, seed: int = 0
) -> str:
    """Return every figure unrounded, one a line: overall, by group, and the differences to `against`.

    Only differences have p-values: each by itself, and corrected for how many its table holds (Holm).
    """
    headings = [
        "model",
        "against",
        "by",
        "group",
        "metric",
        "questions",
        "value",
        "low",
        "high",
        "p",
        "p_holm",
    ]
    lines = list(_csv_lines(scores, grouping, None, seed))
    if against:
        lines += _csv_lines(scores.against(against), grouping, against, seed)
    return csv_text(headings, lines)


def _csv_lines(
    scores: Scores, grouping: Grouping | None, against: str | None, seed: int
) -> Iterator[list[object]]:
    """Yield the lines of the scores, or of their differences to `against`."""
    alone = _intervals(scores, seed)
    together = _corrected(alone) if against else {}
    for model in scores.models:
        start = [model.label, against, "", ""]
        for name, measured in model.measured.items():
            address = model.label, name
            figures = _figures(alone[address], together.get(address))
            yield [*start, name, int(measured.known.sum()), *figures]
        for name, figure in (("words", model.mean_words), ("cut", model.cut_share)):
            yield [*start, name, model.answered, *_figures(Interval(figure, math.nan, math.nan))]
    for metric in scores.metrics if grouping else ():
        found = by_group(scores, grouping, metric.name, seed) if grouping else []
        for one, beside in zip(found, corrected(found), strict=True):
            yield from _csv_groups(one, grouping.by if grouping else "", against, beside)


def _csv_groups(
    found: GroupScores, by: str, against: str | None, together: GroupScores
) -> Iterator[list[object]]:
    """Yield a model's groups and what they come to; `together` has the corrected p-values."""
    start = [found.label, against, by]
    for name, interval in found.groups.items():
        figures = _figures(interval, together.groups[name] if against else None)
        yield [*start, name, found.metric, found.questions[name], *figures]
    for name in ("average", "worst_tenth", "spread", "deviation"):
        beside = together.average if against and name == "average" and len(found.groups) > 1 else None
        yield [*start, f"[{name}]", found.metric, None, *_figures(getattr(found, name), beside)]


def _figures(interval: Interval, together: Interval | None = None) -> list[float | None]:
    """Return a figure, its ends and, where there are corrected ones, its p-values; None for what is not known."""
    p_values = (interval.p_value, together.p_value) if together else (math.nan, math.nan)
    known = (interval.estimate, interval.low, interval.high, *p_values)
    return [None if math.isnan(figure) else figure for figure in known]
