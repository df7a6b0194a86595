"""Files of what was measured of real devices, read strictly: what is missing or impossible is refused by its line."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from shepherd.data.reading import read_rows
from shepherd.errors import ShepherdError
from shepherd.settings import nearest
from shepherd.simulation.draws import uniforms

Assignment = Literal["drawn", "by_name"]
CLIENT = "client"


def numbered_rows(
    path: str, columns: Sequence[str], client: Literal["optional", "required"]
) -> Iterator[tuple[str, str | None, dict[str, float]]]:
    """Yield of every row where it stands, whose it is, and its numbers, none of them missing or negative.

    Parameters
    ----------
    path : str
        A CSV file or JSON lines.
    columns : sequence of str
        The numbers every row must have.
    client : str
        Whether rows must say whose they are, in the column ``client``.

    Raises
    ------
    ShepherdError
        For a column that is unknown or missing, and a value that is missing, no number, or negative.
    """
    known = (CLIENT, *columns)
    needed = known if client == "required" else columns
    empty = True
    for place, row in read_rows(Path(path)):
        _check_columns(place, row, known, needed)
        yield place, _client(place, row), {name: _number(place, name, row[name]) for name in columns}
        empty = False
    if empty:
        raise ShepherdError(f"{path} holds no row; give at least one with the columns {', '.join(needed)}.")


def _check_columns(place: str, row: Mapping[str, Any], known: Collection[str], needed: Sequence[str]) -> None:
    for name in row:
        if name not in known:
            raise ShepherdError(f"{place} has the unknown column '{name}'{nearest(str(name), list(known))}.")
    for name in needed:
        if name not in row:
            raise ShepherdError(f"{place} has no '{name}'; a trace may have no gaps: give it in every row.")


def _client(place: str, row: Mapping[str, Any]) -> str | None:
    if CLIENT not in row:
        return None
    value = row[CLIENT]
    if value is None or value == "":
        raise ShepherdError(
            f"{place} has an empty '{CLIENT}'; a trace may have no gaps: say whose row it is."
        )
    return str(value)


def _number(place: str, name: str, value: Any) -> float:
    if value is None or (isinstance(value, str) and not value.strip()):
        raise ShepherdError(f"{place} has an empty '{name}'; a trace may have no gaps: give a number.")
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ShepherdError(f"{place} has {value!r} as its '{name}'; give a number.")
    if number < 0:
        raise ShepherdError(f"{place} has the negative '{name}' {value}; give a number of at least 0.")
    return number


def assigned(
    assign: Assignment,
    rows: Mapping[str, int],
    clients: Sequence[int] | np.ndarray,
    names: Sequence[str],
    address: tuple[int, str],
) -> np.ndarray:
    """Return which of a trace's rows each of `clients` has, by its name or drawn from all of them.

    Parameters
    ----------
    assign : str
        ``by_name`` or ``drawn``.
    rows : mapping of str to int
        The place of every row, by whose it is.
    clients, names
        Numbers of some clients, and everybody's names.
    address : (int, str)
        The seed, and what is drawn.
    """
    if assign == "by_name":
        return np.array([rows[names[client]] for client in clients], dtype=np.int64)
    return (uniforms(*address, clients, 1)[:, 0] * len(rows)).astype(np.int64)


def check_named(path: str, assign: Assignment, rows: Mapping[str, int], names: Sequence[str]) -> None:
    """Refuse a trace that is to be assigned by name and leaves a client out."""
    if assign != "by_name":
        return
    missing = next((name for name in names if name not in rows), None)
    if missing is not None:
        raise ShepherdError(
            f"{path} has no row of client '{missing}', and a trace may have no gaps; add it, or have clients draw "
            "from what there is with assign=drawn."
        )
