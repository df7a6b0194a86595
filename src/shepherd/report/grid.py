"""A terminal table as a page shows it: the same cells, without the terminal's widths and colours."""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class Cell:
    """What one cell says, whether it is the best of its column, and whether it is a figure."""

    text: str
    bold: bool = False
    number: bool = False


@dataclass(frozen=True)
class Grid:
    """A table for a page: a caption below, headings, and lines whose first cell names the line."""

    caption: str
    headings: list[Cell]
    rows: list[list[Cell]]


def grid(table: Table, most: int | None = None) -> Grid:
    """Return a terminal table for a page, its first `most` lines unless None."""
    numbers = [column.justify == "right" for column in table.columns]
    lines = list(zip(*(column.cells for column in table.columns), strict=True))
    rows = [[_cell(c, n) for c, n in zip(line, numbers, strict=True)] for line in lines[:most]]
    headings = [_cell(column.header, n) for column, n in zip(table.columns, numbers, strict=True)]
    hidden = f" The first {len(rows)} of {len(lines)} lines are shown." if len(rows) < len(lines) else ""
    return Grid(plain_words(table.caption) + hidden, headings, rows)


def plain_words(value: object) -> str:
    """Return what a cell, heading or caption says."""
    return value.plain if isinstance(value, Text) else "" if value is None else str(value)


def _cell(value: object, number: bool) -> Cell:
    return Cell(plain_words(value), isinstance(value, Text) and value.style == "bold", number)
