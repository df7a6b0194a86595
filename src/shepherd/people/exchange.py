"""Sheets go out to raters, and come back filled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shepherd.errors import ShepherdError
from shepherd.people.filled import check_answers, read_sheet
from shepherd.people.items import Item, Material, is_current
from shepherd.people.keys import read_keys, write_key
from shepherd.people.sheet import Row, Rows, fresh_rows, held, sheet_path, with_ratings, write_sheet
from shepherd.study.directory import Study
from shepherd.units import counted


@dataclass(frozen=True)
class Taken:
    """What came back on a sheet.

    Attributes
    ----------
    rater : str
        Whose ratings they became.
    path : Path
        Where they are kept.
    rated, begun, unrated : int
        Items with all their scores, with a part of them (which do not count), and with none.
    """

    rater: str
    path: Path
    rated: int
    begun: int
    unrated: int


def hand_out(study: Study, rater: str, items: Sequence[Item], material: Material) -> Rows:
    """Write these items into a rater's sheet, after those that are on it, and return the whole sheet.

    What the rater has said is kept, so a sheet can be handed out again, and with more items.
    """
    path, known = sheet_path(study, rater), read_keys(study)
    old = read_sheet(path, known)
    fresh = fresh_rows(items, material)
    write_key(study, items)
    standing = {name: fresh.get(name, row) for name, row in old.items()}
    rows = with_ratings(standing | fresh, old)
    write_sheet(path, rows)
    return rows


def take_back(study: Study, file: Path, rater: str | None = None) -> Taken:
    """Take a filled sheet into the study.

    Parameters
    ----------
    study : Study
        The study it was drawn from.
    file : Path
        The sheet.
    rater : str, optional
        Who filled it; unless told, the one it was drawn for. So one sheet can be sent to several people.

    Raises
    ------
    ShepherdError
        If there is no such file, it cannot be read as a sheet of this study, it was drawn for several raters, or the
        rater has ratings already that it contradicts or lacks.
    """
    if not file.is_file():
        raise ShepherdError(f"There is no sheet {file}; write one with --sheet, and fill it.")
    keys = read_keys(study)
    filled = read_sheet(file, keys)
    if not filled:
        raise ShepherdError(f"{file} has no rows; is it the sheet that was filled?")
    rater = rater or _drawn_for(file, [keys[name] for name in filled])
    material = Material(study)
    shown = fresh_rows((keys[name] for name in filled if is_current(keys[name], material)), material)
    check_answers(file, filled, shown)
    with held(study, rater):
        path = sheet_path(study, rater)
        old = read_sheet(path, keys)
        _refuse_other_ratings(file, filled, rater, path, old)
        write_sheet(path, with_ratings(with_ratings(old | shown, old), filled))
    return _counted(rater, path, list(filled.values()))


def _refuse_other_ratings(file: Path, filled: Rows, rater: str, path: Path, old: Rows) -> None:
    """Refuse a sheet that does not go on from what the rater has said: it may be somebody else's."""
    others = [row for name, row in old.items() if not _goes_on(row, filled.get(name))]
    if others:
        items = counted(len(others), "item")
        raise ShepherdError(
            f"'{rater}' has ratings already, and {file} has other scores or none for {items} of them: "
            f"give another --rater, or remove {path} first."
        )


def _goes_on(old: Row, filled: Row | None) -> bool:
    scores = filled.scores if filled is not None else (None,) * len(old.scores)
    return all(before in (None, now) for before, now in zip(old.scores, scores, strict=True))


def _drawn_for(file: Path, items: Sequence[Item]) -> str:
    raters = sorted({item.rater for item in items})
    if len(raters) > 1:
        raise ShepherdError(
            f"{file} has items drawn for {', '.join(raters)}; say with --rater who filled it."
        )
    return raters[0]


def _counted(rater: str, path: Path, rows: Sequence[Row]) -> Taken:
    rated, begun = sum(row.is_rated for row in rows), sum(row.is_begun for row in rows)
    return Taken(rater, path, rated, begun, len(rows) - rated - begun)
