"""A rater's sheet: `ratings/<rater>.csv` in the study's folder, filled in a spreadsheet or in the page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from shepherd import files
from shepherd.errors import ShepherdError
from shepherd.files import write_atomically
from shepherd.people.cells import csv_bytes
from shepherd.people.items import Item, Material
from shepherd.study.directory import Study

LEAST, MOST = 1, 10  # a score
_RATER = re.compile(r"\w[\w.+-]*")

Rows = dict[str, "Row"]


@dataclass(frozen=True)
class Row:
    """One item on a sheet, and what was said of it.

    Attributes
    ----------
    item : str
        The item's name.
    question, context : str
        What was asked.
    answers : tuple of str
        The answers, A first: one or two.
    scores : tuple of float or None
        As many scores, 1 to 10; None where there is none yet.
    comment : str
        The rater's words.
    """

    item: str
    question: str
    context: str
    answers: tuple[str, ...]
    scores: tuple[float | None, ...]
    comment: str = ""

    @property
    def is_rated(self) -> bool:
        """Whether every answer has its score."""
        return None not in self.scores

    @property
    def is_begun(self) -> bool:
        """Whether some answers have a score and some have none."""
        return not self.is_rated and any(score is not None for score in self.scores)


def sheet_path(study: Study, rater: str) -> Path:
    """Return where a rater's sheet lies.

    Raises
    ------
    ShepherdError
        If the rater's name is no name for a file.
    """
    if not _RATER.fullmatch(rater):
        raise ShepherdError(f"--rater is '{rater}'; use letters, digits and . _ + -")
    return study.path / "ratings" / f"{rater}.csv"


def fresh_rows(items: Iterable[Item], material: Material) -> Rows:
    """Return the rows of items that nobody has rated yet."""
    return {item.id: _fresh(item, material) for item in items}


def _fresh(item: Item, material: Material) -> Row:
    asked = material.questions[item.question]
    answers = material.answers(item.question, item.labels)
    return Row(item.id, asked.instruction, asked.context, answers, (None,) * len(answers))


def with_ratings(rows: Mapping[str, Row], filled: Mapping[str, Row]) -> Rows:
    """Return `rows` with what was said in `filled`, followed by the rows that only `filled` has.

    Scores and comments that are not in `filled` stay as they were.
    """
    said = {name: _said(row, filled[name]) if name in filled else row for name, row in rows.items()}
    return said | {name: row for name, row in filled.items() if name not in rows}


def _said(row: Row, filled: Row) -> Row:
    both = zip(filled.scores, row.scores, strict=True)
    scores = tuple(old if new is None else new for new, old in both)
    return replace(row, scores=scores, comment=filled.comment or row.comment)


def write_sheet(path: Path, rows: Mapping[str, Row]) -> None:
    """Write a sheet, atomically; the columns of a second answer are left out where no row has one."""
    sides = "ab"[: max((len(row.answers) for row in rows.values()), default=1)]
    headings = ["item", "question", "context", *(f"answer_{side}" for side in sides)]
    headings += [*(f"score_{side}" for side in sides), "comment"]
    write_atomically(path, csv_bytes(headings, (_cells(row, len(sides)) for row in rows.values())))


def _cells(row: Row, sides: int) -> Sequence[str]:
    missing = [""] * (sides - len(row.answers))
    scores = ["" if score is None else f"{score:g}" for score in row.scores]
    return [row.item, row.question, row.context, *row.answers, *missing, *scores, *missing, row.comment]


def held(study: Study, rater: str) -> AbstractContextManager[None]:
    """Keep every other process from a rater's sheet; a killed one holds nothing."""
    path = sheet_path(study, rater)
    taken = f"{path} is open in another `shepherd rate`; stop that one, or give this --rater another name."
    return files.held(path.with_name(f".{rater}.lock"), taken)
