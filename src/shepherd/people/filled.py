"""A filled sheet, checked row by row as it comes back: every mistake is one sentence that names the row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from shepherd.errors import ShepherdError
from shepherd.people.cells import Line, read_lines
from shepherd.people.items import Item
from shepherd.people.sheet import LEAST, MOST, Row, Rows
from shepherd.settings import nearest


def read_sheet(path: Path, keys: Mapping[str, Item]) -> Rows:
    """Return the rows of a sheet by item, in its order; none if there is no such file.

    Columns may stand in any order, and others may stand beside them. Scores that are not there are None.

    Parameters
    ----------
    path : Path
        The sheet.
    keys : mapping of str to Item
        All items that were ever drawn.

    Raises
    ------
    ShepherdError
        If a column is gone, a row is of no item or of one that came before, a score is none from 1 to 10, or answers
        stand beside items that were not theirs.
    """
    if not path.exists():
        return {}
    headings, lines = read_lines(path)
    _check_column("item", path, headings)
    rows: Rows = {}
    for line in lines:
        row = _row(line, keys, path, headings)
        if row.item in rows:
            raise ShepherdError(
                f"{_where(path, line)}, is about item {row.item} again; delete one of the two."
            )
        rows[row.item] = row
    return rows


def _row(line: Line, keys: Mapping[str, Item], path: Path, headings: Sequence[str]) -> Row:
    name = line.cells["item"].lower()
    if name not in keys:
        what = f"has the unknown item '{name}'" if name else "names no item"
        raise ShepherdError(
            f"{_where(path, line)}, {what}; is it a sheet of this study, with its item column unchanged?"
        )
    sides = "ab"[: len(keys[name].labels)]
    for side in sides:
        _check_column(f"score_{side}", path, headings)
    scores = tuple(_score(line, f"score_{side}", path) for side in sides)
    cells = line.cells
    answers = tuple(cells.get(f"answer_{side}", "") for side in sides)
    return Row(
        name, cells.get("question", ""), cells.get("context", ""), answers, scores, cells.get("comment", "")
    )


def _check_column(name: str, path: Path, headings: Sequence[str]) -> None:
    if name not in headings:
        raise ShepherdError(
            f"{path}, row 1, has no column '{name}'{nearest(name, list(headings))}; give it its heading back."
        )


def _score(line: Line, column: str, path: Path) -> float | None:
    text = line.cells[column]
    if not text:
        return None
    score = _number(text)
    if not LEAST <= score <= MOST:
        raise ShepherdError(
            f"{_where(path, line)}, has the {column} '{text}'; write a number from {LEAST} to {MOST}, "
            "or leave it empty."
        )
    return score


def _number(text: str) -> float:
    try:
        return float(text.replace(",", "."))  # 7,5 where commas are points
    except ValueError:
        return math.nan


def check_answers(path: Path, rows: Mapping[str, Row], shown: Mapping[str, Row]) -> None:
    """Refuse a sheet on which some answers have changed places with others.

    A spreadsheet may write an answer otherwise (1/2 becomes a day), which is let be: only another item's answer, or the
    other answer of the same item, says that a column was sorted by itself, or that A and B were exchanged.
    """
    texts = {_words(answer) for row in shown.values() for answer in row.answers}
    for name, row in rows.items():
        for given, expected in zip(row.answers, shown[name].answers if name in shown else (), strict=False):
            if _words(given) != _words(expected) and _words(given) in texts - {""}:
                raise ShepherdError(
                    f"{path}, item {name}, stands beside an answer that is not its own; "
                    "columns were exchanged or sorted by themselves: undo that, and read it again."
                )


def _words(text: str) -> str:
    return " ".join(text.split())


def _where(path: Path, line: Line) -> str:
    return f"{path}, row {line.number}"
