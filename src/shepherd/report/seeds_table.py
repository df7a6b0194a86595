"""Methods over seeds, written out: how good, how sure, at what price."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from shepherd.report.comparison_table import COST_CAPTION, SIMULATED_CAPTION, SIMULATED_TIME
from shepherd.report.footnotes import own_parts_note, preferences_note
from shepherd.report.paired_table import PAIRED_FIGURES, paired_lines, paired_tables
from shepherd.report.seeds import Method, SeedComparison, Spread
from shepherd.report.simulated_time import simulated_duration
from shepherd.report.tables import Column, csv_text, line_table, ranked
from shepherd.units import duration, fixed, is_number, percent, size, whole

_EVALUATED = ("loss", "rouge_l", "preference_accuracy", "preference_margin")
_SELECTED = "Selected"
_FIGURES = (
    *("loss", "loss_difference", "rouge_l", "rouge_l_difference", "worst_loss", "loss_spread"),
    *("examples", "selected_share", "round_seconds", "selection_seconds", "bytes_up", "bytes_down"),
    *("simulated_hours", "preference_accuracy", "preference_accuracy_difference", "preference_margin"),
)
_TESTED = ("low", "high", "p_t", "p_holm", "p_flips")


def seeds_table(comparison: SeedComparison) -> Table:
    """Return how good the methods are, one a line; the best mean is bold."""
    caption, columns = " ".join(_caption(comparison)), list(_scores(comparison))
    return line_table("The methods over seeds", caption, "Method", comparison.methods, columns)


def costs_table(comparison: SeedComparison) -> Table:
    """Return what the methods cost: the means over their seeds."""
    columns = list(_costs(comparison))
    caption = " ".join(cost_caption({column.heading for column in columns}))
    return line_table("What they cost, on average", caption, "Method", comparison.methods, columns)


def document_tables(comparison: SeedComparison) -> list[Table]:
    """Return the tables of a document: how good the methods are, how sure that is, and at what price."""
    return [seeds_table(comparison), *paired_tables(comparison), costs_table(comparison)]


def terminal_tables(comparison: SeedComparison) -> list[Table]:
    """Return the same for a terminal."""
    scores, *paired, costs = document_tables(comparison)
    for table in paired[:-1]:
        table.caption = None  # how to read the differences is said once, under the last of them
    return [scores, *paired, costs]


def _caption(comparison: SeedComparison) -> Iterator[str]:
    yield "Mean ± sample standard deviation over the seeds; loss in nats per response token."
    if comparison.pools_clients:
        yield "Clients alone are others in every seed: each seed has their mean, and ± says nothing of one client."
    if len(comparison.methods) > 1 and not comparison.has("loss_difference"):
        yield f"No method shares a seed with {comparison.reference.label}, so there are no differences."
    elif len(comparison.methods) > 1 and not comparison.can_be_tested:
        yield f"Differences are tested over two seeds at least that a method shares with {comparison.reference.label}."
    if any(_is_partial(m, getattr(m, figure)) for m in comparison.methods for figure in _EVALUATED):
        yield "In brackets: the number of seeds, where it is not all."
    yield from score_notes({method.label: method for method in comparison.methods})
    if comparison.several_bases:
        yield "The base models differ: their losses compare only if their tokenizers are the same."
    if comparison.unfinished:
        yield f"Not finished yet: {', '.join(comparison.unfinished)}."


def _scores(comparison: SeedComparison) -> Iterator[Column[Method]]:
    yield Column("Seeds", lambda method: len(method.seeds), lambda method: whole(len(method.seeds)))
    yield from score_columns(comparison.methods)
    if comparison.has("worst_loss"):
        groups = [("Worst group", "worst_loss"), ("Spread over groups", "loss_spread")]
        yield from (_ranked(_column(heading, figure, _spread, min)) for heading, figure in groups)


def score_columns(methods: Sequence[Method]) -> list[Column[Method]]:
    """Return the columns of the last evaluation: the loss and, where they were measured, ROUGE-L and preferences."""
    columns = [_column("Loss", "loss", _spread, min)]
    if _any_has(methods, "rouge_l"):
        columns.append(_column("ROUGE-L", "rouge_l", _spread, max))
    if _any_has(methods, "preference_accuracy"):
        columns.append(_column("Pairs right", "preference_accuracy", _spread, max))
        columns.append(_column("Margin", "preference_margin", _spread))
    return [_ranked(column) for column in columns]


def score_notes(methods: Mapping[str, Method]) -> Iterator[str]:
    """Yield how the columns of the last evaluation are read, where they do not say it, of methods by their names."""
    yield from preferences_note(_any_has(list(methods.values()), "preference_accuracy"))
    yield from own_parts_note([name for name, method in methods.items() if method.keeps_own_parts])


def _ranked(column: Column[Method]) -> Column[Method]:
    return ranked(column, lambda method: not method.keeps_own_parts)


def _costs(comparison: SeedComparison) -> Iterator[Column[Method]]:
    examples, *others = cost_columns(comparison.methods)
    yield examples
    # Where every example of everybody is let through, no coreset chooses.
    if _any_but("100.0 %", comparison.methods, "selected_share", percent):
        yield _column(_SELECTED, "selected_share", lambda _, spread: percent(spread.mean))
    yield from others


def cost_columns(methods: Sequence[Method]) -> Iterator[Column[Method]]:
    """Yield the columns of examples trained on, of time, of choosing and simulated time where any, and of bytes."""
    yield _column("Examples", "examples", lambda _, spread: whole(spread.mean))
    yield _column("Time", "round_seconds", lambda _, spread: duration(spread.mean))
    if _any_but(duration(0.0), methods, "selection_seconds", duration):
        yield _column("Choosing", "selection_seconds", lambda _, spread: duration(spread.mean))
    if _any_has(methods, "simulated_hours"):
        yield _column(SIMULATED_TIME, "simulated_hours", lambda _, spread: simulated_duration(spread.mean))
    yield _column("Up", "bytes_up", lambda _, spread: size(spread.mean))
    yield _column("Down", "bytes_down", lambda _, spread: size(spread.mean))


def cost_caption(headings: Collection[str]) -> Iterator[str]:
    """Yield how the columns of costs are read that have these headings."""
    if _SELECTED in headings:
        yield f"{_SELECTED}: the share of what the rounds' clients hold that the coreset let through."
    yield COST_CAPTION
    if SIMULATED_TIME in headings:
        yield SIMULATED_CAPTION


def _any_has(methods: Sequence[Method], figure: str) -> bool:
    """Say whether any method has a figure."""
    return any(getattr(method, figure).by_seed for method in methods)


def _any_but(text: str, methods: Sequence[Method], figure: str, write: Callable[[float], str]) -> bool:
    """Say whether any method's mean of a figure is written as anything but `text`, which is not worth a column."""
    means = [getattr(method, figure).mean for method in methods]
    return any(mean is not None and write(mean) != text for mean in means)


def _column(
    heading: str, figure: str, write: Callable[[Method, Spread], str], best: Any = None
) -> Column[Method]:
    """Return the column of one figure, by its mean over the seeds."""

    def spread(method: Method) -> Spread:
        """Return the figure of one method."""
        return getattr(method, figure)

    return Column(heading, lambda m: spread(m).mean, lambda m: write(m, spread(m)), best)


def _spread(method: Method, spread: Spread) -> str:
    if spread.mean is None or not is_number(spread.mean):
        return fixed(None)
    seeds = f" ({len(spread.by_seed)})" if _is_partial(method, spread) else ""
    deviation = "" if spread.deviation is None else f" ± {fixed(spread.deviation)}"  # one seed has none
    return f"{fixed(spread.mean)}{deviation}{seeds}"


def _is_partial(method: Method, spread: Spread) -> bool:
    return 0 < len(spread.by_seed) < len(method.seeds)


def to_csv(comparison: SeedComparison) -> str:
    """Return every mean, standard deviation, interval and p-value, one line per method, unrounded.

    What a method does not have, the reference's difference to itself for one, is left empty.
    """
    headings = [f"{figure}_{end}" for figure in _FIGURES for end in ("mean", "sd")]
    headings += [f"{figure}_difference_{name}" for figure in PAIRED_FIGURES for name in _TESTED]
    tested = [_tested(comparison, figure) for figure in PAIRED_FIGURES]
    lines = (
        [*_csv_figures(method), *(value for of in tested for value in of[place])]
        for place, method in enumerate(comparison.methods)
    )
    return csv_text(["method", "seeds", "paired_seeds", *headings], lines)


def _csv_figures(method: Method) -> list[object]:
    spreads = [getattr(method, figure) for figure in _FIGURES]
    values = [value for spread in spreads for value in (spread.mean, spread.deviation)]
    return [method.label, len(method.seeds), len(method.loss_difference.by_seed), *values]


def _tested(comparison: SeedComparison, figure: str) -> list[list[float | None]]:
    """Return the tests of one figure for every method; the reference, which is first, has none."""
    nothing: list[float | None] = [None] * len(_TESTED)
    lines = paired_lines(comparison, figure)
    return [nothing, *([getattr(line, name) for name in _TESTED] for line in lines)]
