"""Sheets as spreadsheets see them: CSV that opens without asking, and in which no cell is a formula.

It knows characters, cells and rows, and nothing of what they mean.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from shepherd.errors import ShepherdError

# A spreadsheet computes what begins so, and an answer may begin with anything. The apostrophe is one of them so
# that taking it away again gives back what was there.
_FORMULA = re.compile(r"[=+\-@＝＋－＠\t\r\n']")
_SEPARATORS = ",;\t"


@dataclass(frozen=True)
class Line:
    """A row of a sheet.

    Attributes
    ----------
    number : int
        The row's number in a spreadsheet, where the headings are row 1. A cell of several lines is still one row.
    cells : dict of str to str
        By heading, without what surrounds them.
    """

    number: int
    cells: dict[str, str]


def csv_bytes(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """Return a sheet as CSV in UTF-8, with the mark by which Excel knows it; every cell is text."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
    writer.writerow(headings)
    writer.writerows([harmless(cell) for cell in row] for row in rows)
    # A lone half of a character pair is legal JSON but no text: it is written as a question mark.
    return codecs.BOM_UTF8 + stream.getvalue().encode("utf-8", "replace")


def harmless(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: an apostrophe before what begins like one."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def plain(cell: str) -> str:
    """Return what `harmless` was given."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell


def read_lines(path: Path) -> tuple[list[str], list[Line]]:
    """Return a sheet's headings and its rows; rows without anything in them are left out.

    Separators may be commas, semicolons or tabs, as spreadsheets of different countries write them.

    Raises
    ------
    ShepherdError
        If the file cannot be read, is not UTF-8, has no headings or the same one twice, or a row of another length.
    """
    rows = _rows(path, _text(path))
    headings = [heading.strip().lower() for heading in next(rows, (1, [""]))[1]]
    while headings and not headings[-1]:
        headings.pop()
    twice = sorted({heading for heading in headings if headings.count(heading) > 1})
    if not headings or twice:
        what = f"the column '{twice[0]}' twice" if twice else "no headings"
        raise ShepherdError(f"{path}, row 1, has {what}; write a sheet anew with --sheet and compare.")
    return headings, [_line(path, headings, number, row) for number, row in rows if any(row)]


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ShepherdError(
            f"{path} is not in UTF-8; save it in the spreadsheet as 'CSV UTF-8', not as CSV, XLSX or ODS."
        ) from error
    except OSError as error:
        raise ShepherdError(f"{path} cannot be read: {error.strerror}.") from error


def _rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(sys.maxsize)  # an answer may be longer than the 131,072 letters allowed otherwise
    first = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        yield from enumerate(reader, start=1)
    except csv.Error as error:
        raise ShepherdError(
            f"{path} is no CSV from line {reader.line_num} on ({error}); mend it there."
        ) from error


def _line(path: Path, headings: Sequence[str], number: int, row: list[str]) -> Line:
    if any(row[len(headings) :]):
        raise ShepherdError(
            f"{path}, row {number}, has more cells than there are columns; put every cell below its heading."
        )
    cells = [*row, *[""] * len(headings)]
    return Line(
        number, {heading: plain(cell).strip() for heading, cell in zip(headings, cells, strict=False)}
    )
