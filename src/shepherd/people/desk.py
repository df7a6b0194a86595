"""A rater at work: the items in front of them, and every rating written at once."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from shepherd.people.sheet import LEAST, MOST, Row, write_sheet

MOST_LETTERS = 10_000  # of a comment


class Refused(ValueError):
    """A rating that cannot be one; the message says why."""


class Desk:
    """What a page shows, and where what is said there goes.

    Parameters
    ----------
    path : Path
        The rater's sheet.
    rows : mapping of str to Row
        All that is on it.
    items : sequence of str
        The names of the items to show; the others are only kept.
    """

    def __init__(self, path: Path, rows: Mapping[str, Row], items: Sequence[str]) -> None:
        self.path = path
        self._rows = dict(rows)
        self._items = [name for name in rows if name in set(items)]
        self._lock = threading.Lock()

    @property
    def shown(self) -> list[Row]:
        """The rows to rate, in the sheet's order."""
        return [self._rows[name] for name in self._items]

    @property
    def rated(self) -> int:
        """How many of them have all their scores."""
        return sum(row.is_rated for row in self.shown)

    def write(self, said: Any) -> None:
        """Write what was said of one item: ``{"item": name, "scores": [7, null], "comment": "…"}``.

        Raises
        ------
        Refused
            If it is about nothing on the desk, or no rating.
        ShepherdError
            If the sheet cannot be written; then it is as it was.
        """
        row = self._checked(said)
        with self._lock:
            rows = self._rows | {row.item: row}
            write_sheet(self.path, rows)
            self._rows = rows

    def _checked(self, said: Any) -> Row:
        if not isinstance(said, dict) or set(said) != {"item", "scores", "comment"}:
            raise Refused("A rating has an item, scores and a comment.")
        item, scores, comment = said["item"], said["scores"], said["comment"]
        if not isinstance(item, str) or item not in self._items:
            raise Refused("There is no such item.")
        row = self._rows[item]
        if not isinstance(scores, list) or len(scores) != len(row.scores) or not all(map(_is_score, scores)):
            raise Refused(f"There is one score from {LEAST} to {MOST} for each answer, or null.")
        if not isinstance(comment, str) or len(comment) > MOST_LETTERS:
            raise Refused(f"A comment has at most {MOST_LETTERS:,} letters.")
        return replace(row, scores=tuple(scores), comment=comment.strip())


def _is_score(value: Any) -> bool:
    return value is None or (
        isinstance(value, (int, float)) and not isinstance(value, bool) and LEAST <= value <= MOST
    )
