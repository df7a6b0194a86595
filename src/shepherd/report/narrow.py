"""A table that is too wide for a terminal, in parts that fit: no word is broken, no column left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from shepherd.report.grid import plain_words

_ANY = 10_000  # characters: wider than any table


def in_parts(table: Table, console: Console) -> list[RenderableType]:
    """Return a table as it is if it fits the console, and otherwise its columns in as many tables as it takes.

    Every part begins with the table's first column; the title stands above the first, the caption below the last.
    Figures, in columns that are set to the right, stay on one line; headings break between words only.

    Parameters
    ----------
    table : Table
        One that names its lines in the first column.
    console : Console
        Where it will be shown.
    """
    if not table.columns:
        return [table]
    first, *others = table.columns
    if _width(table, console) <= console.width and _longest(first, console) <= (first.width or _ANY):
        return [table]

    def fits(columns: Sequence[Column]) -> bool:
        """Say whether a part of these columns is narrow enough; one column alone has to be."""
        return len(columns) < 2 or _width(_part(table, [first, *columns], console), console) <= console.width

    parts = [_part(table, [first, *columns], console) for columns in _divided(others, fits)]
    parts[0].title = table.title
    below = [Text(plain_words(table.caption), style="table.caption")] if table.caption else []
    return [*parts, *below]


def _divided(columns: Sequence[Column], fits: Callable[[Sequence[Column]], bool]) -> list[Sequence[Column]]:
    """Return the columns in as few parts as fit, of as equal numbers as fit."""
    greedy: list[Sequence[Column]] = [[]]
    for column in columns:
        wider = [*greedy[-1], column]
        if fits(wider):
            greedy[-1] = wider
        else:
            greedy.append([column])
    ends = [round(len(columns) * part / len(greedy)) for part in range(len(greedy) + 1)]
    even = [columns[begin:end] for begin, end in pairwise(ends)]
    return even if all(map(fits, even)) else greedy


def _part(table: Table, columns: Sequence[Column], console: Console) -> Table:
    """Return some columns of a table as a table without title and caption."""
    part = Table(
        box=table.box,
        padding=table.padding,
        show_lines=table.show_lines,
        title_justify=table.title_justify,
        caption_justify=table.caption_justify,
    )
    for place, column in enumerate(columns):
        width = _needed(column, console) if place else _of_labels(column, console)
        part.add_column(column.header, justify=column.justify, overflow=column.overflow, width=width)
    for row in zip(*(column.cells for column in columns), strict=True):
        part.add_row(*row)
    return part


def _of_labels(column: Column, console: Console) -> int:
    """Return the width of the first column: its longest label's, as far as that leaves two thirds for the others."""
    most = max(column.width or 0, console.width // 3)
    return min(_longest(column, console), most)


def _longest(column: Column, console: Console) -> int:
    """Return the width of a column in which no cell, and not the heading, takes two lines."""
    options = console.options.update(width=_ANY)
    return max(Measurement.get(console, options, cell).maximum for cell in (column.header, *column.cells))


def _needed(column: Column, console: Console) -> int:
    """Return the width at which no heading breaks within a word, and a figure not at all."""
    options = console.options.update(width=_ANY)
    cells = [Measurement.get(console, options, cell) for cell in column.cells]
    widths = [cell.maximum if column.justify == "right" else cell.minimum for cell in cells]
    return max([Measurement.get(console, options, column.header).minimum, *widths])


def _width(table: Table, console: Console) -> int:
    """Return how wide a table is where there is room; without title and caption, which break anywhere."""
    return Measurement.get(console, console.options.update(width=_ANY), table).maximum
