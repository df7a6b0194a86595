"""A comparison's tables: the models overall, what they cost, and by category."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from shepherd.report.comparison import Comparison, Row
from shepherd.report.footnotes import own_parts_note, preferences_note
from shepherd.report.simulated_time import simulated_duration
from shepherd.report.tables import Cells, Column, cells_of, csv_text, line_table, ranked, table_of_cells
from shepherd.units import duration, fixed, size, whole

SIMULATED_TIME = "Simulated time"
SIMULATED_CAPTION = f"{SIMULATED_TIME}: that of the whole run, on the clock of simulated devices."
COST_CAPTION = "Time: the rounds' wall-clock time. Up, Down: what clients sent, and what they were sent."


def _columns(comparison: Comparison) -> list[Column[Row]]:
    columns: list[Column[Row]] = [
        Column("Examples", lambda row: row.examples, lambda row: whole(row.examples)),
        Column("Loss", lambda row: row.loss, lambda row: fixed(row.loss), min),
        Column("Ratio", lambda row: row.relative_loss, lambda row: fixed(row.relative_loss)),
        Column("Best (round)", lambda row: row.best_loss, _best_loss, min),
        Column("Perplexity", lambda row: row.perplexity, lambda row: fixed(row.perplexity, 2), min),
    ]
    if any(row.fairness for row in comparison.rows):
        columns += [
            Column("Worst group", lambda row: row.worst_loss, lambda row: fixed(row.worst_loss), min),
            Column("Spread", lambda row: row.loss_spread, lambda row: fixed(row.loss_spread), min),
        ]
    if comparison.has_rouge:
        columns += [
            Column("ROUGE-L", lambda row: row.rouge_l, lambda row: fixed(row.rouge_l), max),
            Column("Ratio", lambda row: row.relative_rouge_l, lambda row: fixed(row.relative_rouge_l)),
        ]
    if comparison.has_preferences:
        columns += [
            Column("Pairs right", lambda row: row.preference_accuracy, _pairs_right, max),
            Column("Margin", lambda row: row.preference_margin, lambda row: fixed(row.preference_margin)),
        ]
    return [_ranked(column) for column in columns]


def _ranked(column: Column[Row]) -> Column[Row]:
    return ranked(column, lambda row: not row.keeps_own_parts)


def _pairs_right(row: Row) -> str:
    return fixed(row.preference_accuracy)


def _cost_columns(comparison: Comparison) -> list[Column[Row]]:
    columns: list[Column[Row]] = [
        Column("Time", lambda row: row.round_seconds, lambda row: duration(row.round_seconds)),
        Column("Up", lambda row: row.bytes_up, lambda row: size(row.bytes_up)),
        Column("Down", lambda row: row.bytes_down, lambda row: size(row.bytes_down)),
    ]
    if _is_simulated(comparison):
        columns.insert(1, Column(SIMULATED_TIME, lambda row: row.simulated_hours, _simulated_time))
    if comparison.target is not None:
        columns.append(Column("Time to loss", lambda row: row.hours_to_target, _time_to_target, min))
    return columns


def _is_simulated(comparison: Comparison) -> bool:
    return any(row.simulated_hours is not None for row in comparison.rows)


def _simulated_time(row: Row) -> str:
    return simulated_duration(row.simulated_hours)


def _time_to_target(row: Row) -> str:
    return simulated_duration(row.hours_to_target)


def _best_loss(row: Row) -> str:
    return f"{fixed(row.best_loss)} ({row.best_round})"


def comparison_table(comparison: Comparison) -> Table:
    """Return the overall comparison for a terminal of 100 columns; the best of each column is bold."""
    title, caption = "The models on the held-out questions", " ".join(_caption(comparison))
    return line_table(title, caption, "Model", comparison.rows, _columns(comparison))


def _caption(comparison: Comparison) -> Iterator[str]:
    yield "Loss in nats per response token."
    if not comparison.reference.keeps_own_parts:
        yield f"A ratio above 1: {comparison.reference.label} is the better one."
    if any(row.fairness for row in comparison.rows):
        yield "Worst group, Spread: the highest loss of a category, and the standard deviation over them."
    yield from preferences_note(comparison.has_preferences)
    yield from own_parts_note([row.label for row in comparison.rows if row.keeps_own_parts])
    if comparison.several_bases:
        yield "The base models differ: their losses compare only if their tokenizers are the same."


def cost_table(comparison: Comparison) -> Table:
    """Return what every model cost: time, bytes, and on simulated devices the time to a loss."""
    caption = f"{COST_CAPTION} {SIMULATED_CAPTION}" if _is_simulated(comparison) else COST_CAPTION
    if comparison.target is not None:
        caption += f" Time to loss: until {fixed(comparison.target)}, on the clock of simulated devices."
    if comparison.never_below:
        caption += f" Never below the loss it began with: {', '.join(comparison.never_below)}."
    return line_table("What they cost", caption, "Model", comparison.rows, _cost_columns(comparison))


def category_table(comparison: Comparison, figure: str = "loss") -> Table:
    """Return the comparison by category: a line per category, a column per model.

    Parameters
    ----------
    comparison : Comparison
        The models.
    figure : {"loss", "rouge_l"}
        What to show.
    """
    lines = [_category_cells(comparison.rows, figure, name) for name in comparison.categories]
    cells = [(row.label, [line[position] for line in lines]) for position, row in enumerate(comparison.rows)]
    unit = "Loss in nats per response token" if figure == "loss" else "ROUGE-L, 0 to 1"
    title = f"{'Loss' if figure == 'loss' else 'ROUGE-L'} by category"
    return table_of_cells(title, f"{unit}.", "Category", comparison.categories, cells)


def _category_cells(rows: Sequence[Row], figure: str, category: str) -> Cells:
    """Return every model's figure in one category, and which is the best."""

    def value(row: Row) -> float | None:
        """Return one model's figure in the category."""
        return _by_category(row, figure).get(category)

    column = Column(category, value, lambda row: fixed(value(row)), min if figure == "loss" else max)
    return cells_of(_ranked(column), rows)


def _by_category(row: Row, figure: str) -> dict[str, float]:
    return row.loss_by_category if figure == "loss" else row.rouge_l_by_category


def document_tables(comparison: Comparison) -> list[Table]:
    """Return the tables of a document: the models overall, what they cost, and by category with every model."""
    tables = [comparison_table(comparison), cost_table(comparison)]
    if comparison.categories:
        tables.append(category_table(comparison))
    if any(row.rouge_l_by_category for row in comparison.rows):
        tables.append(category_table(comparison, "rouge_l"))
    return tables


def to_csv(comparison: Comparison) -> str:
    """Return every figure, overall and by category, one line per model, unrounded."""
    overall = ["rounds", "examples", "loss", "best_loss", "best_round", "perplexity", "rouge_l"]
    overall += [
        "relative_loss",
        "relative_rouge_l",
        "worst_loss",
        "loss_spread",
        "round_seconds",
        "bytes_up",
        "bytes_down",
        "simulated_hours",
        "hours_to_target",
        "preference_accuracy",
        "preference_margin",
    ]
    by_category = [(figure, name) for figure in ("loss", "rouge_l") for name in comparison.categories]
    headings = ["model", *overall, *(f"{figure}[{name}]" for figure, name in by_category)]
    return csv_text(headings, (_csv_line(row, overall, by_category) for row in comparison.rows))


def _csv_line(row: Row, overall: Sequence[str], by_category: Sequence[tuple[str, str]]) -> list[object]:
    values = [getattr(row, name) for name in overall]
    return [row.label, *values, *(_by_category(row, figure).get(name) for figure, name in by_category)]
