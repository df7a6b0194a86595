"""Tables: columns over lines for the terminal, the best of each bold; and the same for a paper and a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from rich import box
from rich.table import Table
from rich.text import Text

from shepherd.report.grid import plain_words
from shepherd.units import is_number

_LABEL = 24  # characters of a label that are kept in one piece
#: Of each line a text, and whether it is among the best.
Cells = list[tuple[str, bool]]


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


def cells_of(column: Column[Line], rows: Sequence[Line]) -> Cells:
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
    return [
        (text, best is not None and value is not None and _figure(text) == best)
        for value, text in zip(values, texts, strict=True)
    ]


def ranked(column: Column[Line], may_be_best: Callable[[Line], bool]) -> Column[Line]:
    """Return a column in which only lines that `may_be_best` can be."""
    return replace(column, value=lambda line: column.value(line) if may_be_best(line) else None)


def _figure(text: str) -> str:
    """Return what a cell says of the figure itself: without its spread, its ends, its round."""
    return re.split(r"\s(?=[±(\[])", text, maxsplit=1)[0]


def table_of_cells(
    title: str, caption: str, first: str, labels: Sequence[str], columns: Sequence[tuple[str, Cells]]
) -> Table:
    """Return a table for the terminal of cells that are written already.

    Parameters
    ----------
    title, caption : str
        What stands above and below.
    first : str
        The heading of the labels.
    labels : sequence of str
        One for each line.
    columns : sequence of (str, list of (str, bool))
        A heading and, for each line, a text and whether it is among the best.
    """
    looks: dict[str, Any] = {
        "box": box.SIMPLE_HEAD,
        "padding": 0,  # the box's own space between columns is enough, and six models fit 80 columns
        "title_justify": "left",
        "caption_justify": "left",
    }
    table = Table(title=Text(title), caption=Text(caption), **looks)
    longest = max(map(len, (first, *labels)))
    # A width, not a least width: rich shrinks a column below that first and then crops the last ones instead.
    table.add_column(first, overflow="fold", width=min(_LABEL, longest))
    for heading, _ in columns:
        table.add_column(Text(heading), justify="right", overflow="fold")
    for position, label in enumerate(labels):
        marks = (cells[position] for _, cells in columns)
        table.add_row(Text(label), *(Text(text, style="bold" if best else "") for text, best in marks))
    return table


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
    cells = [(column.heading, cells_of(column, lines)) for column in columns]
    return table_of_cells(title, caption, first, [line.label for line in lines], cells)


def markdown(*tables: Table) -> str:
    """Return terminal tables as Markdown tables, each with its title above and its caption below."""
    return "\n".join(map(_markdown, tables))


def _markdown(table: Table) -> str:
    headings = [_markdown_cell(column.header) for column in table.columns]
    rules = ["---:" if column.justify == "right" else "---" for column in table.columns]
    body = zip(*([_markdown_cell(cell) for cell in column.cells] for column in table.columns), strict=True)
    lines = ["| " + " | ".join(cells) + " |" for cells in (headings, rules, *body)]
    return f"**{table.title}**\n\n" + "\n".join(lines) + f"\n\n{plain_words(table.caption)}\n"


def _markdown_cell(cell: object) -> str:
    text = plain_words(cell)
    text = " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return f"**{text}**" if isinstance(cell, Text) and cell.style == "bold" else text


def csv_text(headings: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """Return headings and lines as CSV; what is None is left empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(headings)
    writer.writerows(lines)
    return stream.getvalue()
