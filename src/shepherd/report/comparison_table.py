"""A comparison written out: for the terminal, for a paper's Markdown, for a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from rich import box
from rich.table import Table
from rich.text import Text

from shepherd.report.comparison import Comparison, Row
from shepherd.report.grid import plain_words
from shepherd.report.units import duration, fixed, is_number, size, whole

COST_CAPTION = "Time: the rounds' wall-clock time. Up, Down: what clients sent, and what they were sent."
_LABEL = 24  # characters of a label that are kept in one piece
_Cells = list[tuple[str, bool]]


class Labelled(Protocol):
    """What a line of a table is about: it has a name."""

    @property
    def label(self) -> str:
        """The name its line begins with."""


Line = TypeVar("Line", bound=Labelled)


@dataclass(frozen=True)
class Column(Generic[Line]):
    """A column: its heading, the value of a row, how a row is written, and which extreme is best."""

    heading: str
    value: Callable[[Line], float | None]
    write: Callable[[Line], str]
    best: Callable[..., float] | None = None


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
    return columns


def _cost_columns(comparison: Comparison) -> list[Column[Row]]:
    columns: list[Column[Row]] = [
        Column("Time", lambda row: row.round_seconds, lambda row: duration(row.round_seconds)),
        Column("Up", lambda row: row.bytes_up, lambda row: size(row.bytes_up)),
        Column("Down", lambda row: row.bytes_down, lambda row: size(row.bytes_down)),
    ]
    if comparison.target is not None:
        columns.append(Column("Time to loss", lambda row: row.hours_to_target, _time_to_target, min))
    return columns


def _time_to_target(row: Row) -> str:
    return duration(None if row.hours_to_target is None else 3600 * row.hours_to_target)


def _best_loss(row: Row) -> str:
    return f"{fixed(row.best_loss)} ({row.best_round})"


def _cells(column: Column[Line], rows: Sequence[Line]) -> _Cells:
    """Return each row's text and whether it prints like the best, unless all that are known do."""
    texts, values = [column.write(row) for row in rows], [column.value(row) for row in rows]
    known = [
        (value, _figure(text))
        for value, text in zip(values, texts, strict=True)
        if value is not None and is_number(value)
    ]
    best = None
    if column.best and len({text for _, text in known}) > 1:
        best = dict(known)[column.best(value for value, _ in known)]
    return [(text, best is not None and _figure(text) == best) for text in texts]


def _figure(text: str) -> str:
    """Return what a cell says of the figure itself: without its spread, its ends, its round."""
    return re.split(r"\s(?=[±(\[])", text, maxsplit=1)[0]


def _table(title: str, caption: str) -> Table:
    looks: dict[str, Any] = {
        "box": box.SIMPLE_HEAD,
        "padding": 0,  # the box's own space between columns is enough, and six models fit 80 columns
        "title_justify": "left",
        "caption_justify": "left",
    }
    return Table(title=Text(title), caption=Text(caption), **looks)


def _fill(table: Table, first: str, labels: Sequence[str], columns: list[tuple[str, _Cells]]) -> Table:
    longest = max(map(len, (first, *labels)))
    # A width, not a least width: rich shrinks a column below that first and then crops the last ones instead.
    table.add_column(first, overflow="fold", width=min(_LABEL, longest))
    for heading, _ in columns:
        table.add_column(Text(heading), justify="right", overflow="fold")
    for position, label in enumerate(labels):
        marks = (cells[position] for _, cells in columns)
        table.add_row(Text(label), *(Text(text, style="bold" if best else "") for text, best in marks))
    return table


def comparison_table(comparison: Comparison) -> Table:
    """Return the overall comparison for a terminal of 100 columns; the best of each column is bold."""
    reference = comparison.reference.label
    caption = f"Loss in nats per response token. A ratio above 1: {reference} is the better one."
    if any(row.fairness for row in comparison.rows):
        caption += (
            " Worst group, Spread: the highest loss of a category, and the standard deviation over them."
        )
    if comparison.several_bases:
        caption += " The base models differ: their losses compare only if their tokenizers are the same."
    title = "The models on the held-out questions"
    return line_table(title, caption, "Model", comparison.rows, _columns(comparison))


def cost_table(comparison: Comparison) -> Table:
    """Return what every model cost: time, bytes, and on simulated devices the time to a loss."""
    caption = COST_CAPTION
    if comparison.target is not None:
        caption += f" Time to loss: until {fixed(comparison.target)}, on the clock of simulated devices."
    if comparison.never_below:
        caption += f" Never below the loss it began with: {', '.join(comparison.never_below)}."
    return line_table("What they cost", caption, "Model", comparison.rows, _cost_columns(comparison))


def line_table(
    title: str, caption: str, first: str, lines: Sequence[Line], columns: Sequence[Column[Line]]
) -> Table:
    """Return a table for the terminal, one line for each of `lines`; the best of each column is bold.

    Parameters
    ----------
    title, caption : str
        What stands above and below.
    first : str
        The heading of the labels.
    lines : sequence
        What the lines are about.
    columns : sequence of Column
        What is said about each.
    """
    cells = [(column.heading, _cells(column, lines)) for column in columns]
    return _fill(_table(title, caption), first, [line.label for line in lines], cells)


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
    table = _table(f"{'Loss' if figure == 'loss' else 'ROUGE-L'} by category", f"{unit}.")
    return _fill(table, "Category", comparison.categories, cells)


def _category_cells(rows: Sequence[Row], figure: str, category: str) -> _Cells:
    """Return every model's figure in one category, and which is the best."""

    def value(row: Row) -> float | None:
        """Return one model's figure in the category."""
        return _by_category(row, figure).get(category)

    best = min if figure == "loss" else max
    return _cells(Column(category, value, lambda row: fixed(value(row)), best), rows)


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


def to_markdown(comparison: Comparison) -> str:
    """Return the tables of `document_tables` as Markdown."""
    return "\n".join(map(markdown, document_tables(comparison)))


def markdown(table: Table) -> str:
    """Return a terminal table as a Markdown table, its title above and its caption below."""
    headings = [_markdown_cell(column.header) for column in table.columns]
    rules = ["---:" if column.justify == "right" else "---" for column in table.columns]
    body = zip(*([_markdown_cell(cell) for cell in column.cells] for column in table.columns), strict=True)
    lines = ["| " + " | ".join(cells) + " |" for cells in (headings, rules, *body)]
    return f"**{table.title}**\n\n" + "\n".join(lines) + f"\n\n{plain_words(table.caption)}\n"


def _markdown_cell(cell: object) -> str:
    text = plain_words(cell)
    text = " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return f"**{text}**" if isinstance(cell, Text) and cell.style == "bold" else text


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
    ]
    by_category = [(figure, name) for figure in ("loss", "rouge_l") for name in comparison.categories]
    headings = ["model", *overall, *(f"{figure}[{name}]" for figure, name in by_category)]
    return csv_text(headings, (_csv_line(row, overall, by_category) for row in comparison.rows))


def _csv_line(row: Row, overall: Sequence[str], by_category: Sequence[tuple[str, str]]) -> list[object]:
    values = [getattr(row, name) for name in overall]
    return [row.label, *values, *(_by_category(row, figure).get(name) for figure, name in by_category)]


def csv_text(headings: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """Return headings and lines as CSV; what is None is left empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(headings)
    writer.writerows(lines)
    return stream.getvalue()
