"""Scores without a judge as tables: every model over all questions, and by group with the worst and the spread."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.table import Table

from shepherd.evaluation.group_scores import GroupScores, by_group
from shepherd.evaluation.groups import Grouping
from shepherd.evaluation.measured import METRICS, Metric, is_worse
from shepherd.evaluation.scores import ModelScores, Scores
from shepherd.report.comparison_table import Column, csv_text, line_table
from shepherd.report.intervals import NOISE, with_ends
from shepherd.report.units import fixed, percent
from shepherd.statistics.bootstrap import UNKNOWN, Interval

_TERMINAL_MODELS = 5
#: Says that a difference is inside the noise: its interval holds 0, or there are too few questions to tell.


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
    def interval(model: ModelScores) -> Interval:
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


def difference_text(interval: Interval) -> str:
    """Return a difference with its sign and half width, and `NOISE` where it says nothing."""
    if math.isnan(interval.estimate):
        return fixed(interval.estimate)
    sign = "+" if interval.estimate > 0 else ""
    return f"{sign}{with_half_width(interval)}{'' if interval.excludes(0) else f' {NOISE}'}"


def difference_table(scores: Scores, against: str, seed: int = 0) -> Table:
    """Return the models' paired differences to the model `against`."""
    differences = scores.against(against)
    columns = [_difference_column(metric, seed) for metric in differences.metrics]
    columns.append(Column("Words", lambda m: m.mean_words, lambda m: f"{m.mean_words:+.1f}"))
    caption = (
        f"Model less {against}, question by question, on those that both answered; ±: half of the 95 % interval. "
        f"{NOISE}: inside the noise."
    )
    return line_table(f"Differences to {against}", caption, "Model", differences.models, columns)


def _difference_column(metric: Metric, seed: int) -> Column[ModelScores]:
    def text(model: ModelScores) -> str:
        measured = model.measured.get(metric.name)
        return difference_text(UNKNOWN if measured is None else measured.interval(seed))

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
    most: int | None = _TERMINAL_MODELS,
    seed: int = 0,
) -> Table:
    """Return a metric by group: a line a group, a column a model; average, worst and spread at the end.

    Parameters
    ----------
    scores, grouping, metric
        What is shown.
    against : str, optional
        Show paired differences to this model.
    most : int, optional
        The most models shown, so that a terminal of 100 columns suffices; None for all.
    seed : int
        The draws' seed.
    """
    found = by_group(scores.against(against) if against else scores, grouping, metric, seed)
    shown = found[:most]
    write = difference_text if against else with_half_width
    lines = [*_group_lines(shown, grouping, write), *_summary_lines(shown, write)]
    columns = [_model_column(model.label, place) for place, model in enumerate(shown)]
    title = f"{METRICS[metric].heading} by {grouping.by}" + (f", less {against}" if against else "")
    caption = _group_caption(grouping, metric, against, len(found) - len(shown))
    caption += "".join(f" {sentence}" for model in shown if against and (sentence := _worse(model, against)))
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


def _worse(model: GroupScores, against: str) -> str:
    """Say in which groups a model is worse than `against`, beyond the noise."""
    worse = [name for name, difference in model.groups.items() if is_worse(difference, model.metric)]
    where = f"in {len(worse)} of {len(model.groups)} groups: {', '.join(worse)}"
    return f"{model.label} is worse than {against} {where}." if worse else ""


def _group_caption(grouping: Grouping, metric: str, against: str | None, hidden: int) -> str:
    sentences = ["In brackets: questions. ±: half of the 95 % interval over questions."]
    if metric == "loss":
        sentences.append("Loss in nats per reference token; the worst group has the highest.")
    if against:
        sentences.append(f"Model less {against}, question by question. {NOISE}: inside the noise.")
    if hidden:
        sentences.append(f"{hidden} more models are in the CSV.")
    return " ".join([*sentences, *grouping.notes])


def to_csv(
    scores: Scores, grouping: Grouping | None = None, against: str | None = None, seed: int = 0
) -> str:
    """Return every figure unrounded, one a line: overall, by group, and the differences to `against`."""
    headings = ["model", "against", "by", "group", "metric", "questions", "value", "low", "high"]
    lines = list(_csv_lines(scores, grouping, None, seed))
    if against:
        lines += _csv_lines(scores.against(against), grouping, against, seed)
    return csv_text(headings, lines)


def _csv_lines(
    scores: Scores, grouping: Grouping | None, against: str | None, seed: int
) -> Iterator[list[object]]:
    for model in scores.models:
        for name, measured in model.measured.items():
            count = int(measured.known.sum())
            yield [model.label, against, "", "", name, count, *_ends(measured.interval(seed))]
        for name, figure in (("words", model.mean_words), ("cut", model.cut_share)):
            yield [
                model.label,
                against,
                "",
                "",
                name,
                model.answered,
                None if math.isnan(figure) else figure,
                None,
                None,
            ]
    for metric in scores.metrics if grouping else ():
        for found in by_group(scores, grouping, metric.name, seed) if grouping else ():
            yield from _csv_groups(found, grouping.by if grouping else "", against)


def _csv_groups(found: GroupScores, by: str, against: str | None) -> Iterator[list[object]]:
    start = [found.label, against, by]
    for name, interval in found.groups.items():
        yield [*start, name, found.metric, found.questions[name], *_ends(interval)]
    for name in ("average", "worst_tenth", "spread", "deviation"):
        yield [*start, f"[{name}]", found.metric, None, *_ends(getattr(found, name))]


def _ends(interval: Interval) -> list[float | None]:
    return [None if math.isnan(end) else end for end in (interval.estimate, interval.low, interval.high)]
