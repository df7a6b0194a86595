"""Which column of a table is the instruction, the context, the response and the category.

Recognised without being told: Dolly (``instruction, context, response, category``), Alpaca
(``instruction, input, output``), Natural Instructions (``instruction, input, outputs, category``),
``instruction, response``, ``prompt, completion``, and preferences (``prompt, chosen, rejected``). Where two
columns could be meant, the user says which; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from shepherd.data.reading import Row, kind
from shepherd.errors import ShepherdError
from shepherd.settings import nearest

_CANDIDATES = {
    "instruction": ("instruction", "prompt"),
    "context": ("context", "input"),
    "response": ("response", "responses", "output", "outputs", "completion", "chosen"),
    "category": ("category",),
    "rejected": ("rejected",),
}
REQUIRED = ("instruction", "response")

UNCATEGORISED = "uncategorised"


@dataclass(frozen=True)
class Layout:
    """The column each part of an instruction is read from; None where a table has no such column."""

    instruction: str
    response: str | None
    context: str | None = None
    category: str | None = None
    rejected: str | None = None


@dataclass(frozen=True)
class Example:
    """One row, read and checked.

    Attributes
    ----------
    responses : list of str
        One or several acceptable answers; the first is the training target. None where no response was asked for.
    rejected : str
        An answer that was found worse than these; empty where the table has none.
    """

    instruction: str
    context: str
    responses: list[str]
    category: str
    rejected: str = ""


def find_layout(
    known: list[str],
    columns: Mapping[str, str] | None,
    source: str,
    required: Collection[str] = REQUIRED,
) -> Layout:
    """Find the column of every part.

    Parameters
    ----------
    known : list of str
        The table's columns.
    columns : mapping of str to str, optional
        The user's own say: part (instruction, response, context, category, rejected) to column.
    source : str
        Where the table comes from, for messages.
    required : collection of str
        The parts there must be; questions, for one, need no response.

    Raises
    ------
    ShepherdError
        If `columns` names a part or column that does not exist, or one column for two texts; if a table
        has no column for a required part, or several that could be meant.
    """
    chosen = dict(columns or {})
    _check_choice(chosen, known, source)
    free = [column for column in known if column not in chosen.values()]
    parts = {part: chosen.get(part) or _recognise(part, free, known, source) for part in _CANDIDATES}
    if parts["response"] != "chosen" and "rejected" not in chosen:
        parts["rejected"] = None  # of a table that is no preferences, "rejected" may mean anything
    _check_found(parts, required, known, source)
    return Layout(**parts)  # type: ignore[arg-type]


def _check_choice(chosen: dict[str, str], known: list[str], source: str) -> None:
    for part, column in chosen.items():
        if part not in _CANDIDATES:
            raise ShepherdError(f"data.columns has no key '{part}'{nearest(part, list(_CANDIDATES))}.")
        if column not in known:
            raise ShepherdError(
                f"data.columns: {source} has no column '{column}' for the {part}{nearest(column, known)}."
            )
    texts = [column for part, column in chosen.items() if part != "category"]
    for column in texts:
        if texts.count(column) > 1:
            raise ShepherdError(f"data.columns gives the column '{column}' two parts; give each its own.")


def _recognise(part: str, free: list[str], known: list[str], source: str) -> str | None:
    found = [column for column in _CANDIDATES[part] if column in free]
    if len(found) > 1:
        both = " and ".join(f"'{column}'" for column in found)
        raise ShepherdError(
            f"{source} has the columns {both}, each of which could be the {part}; "
            f"say which with data.columns: {{{part}: {found[0]}}}."
        )
    return found[0] if found else None


def _check_found(
    parts: Mapping[str, str | None], required: Collection[str], known: list[str], source: str
) -> None:
    for part in (part for part in required if parts[part] is None):
        raise ShepherdError(
            f"{source} has no column for the {part} (looked for {', '.join(_CANDIDATES[part])}); its columns "
            f"are {', '.join(known)}: name one with data.columns: {{{part}: ...}}."
        )


def read_example(row: Row, layout: Layout, place: str) -> Example:
    """Read one row.

    Parameters
    ----------
    row : dict
        Column to value.
    layout : Layout
        Where each part stands.
    place : str
        Where the row stands, for messages.

    Raises
    ------
    ShepherdError
        If the instruction, response or rejected answer is missing, empty or no text, or another part has a wrong type.
    """
    return Example(
        instruction=_text(row.get(layout.instruction), layout.instruction, place),
        context=_optional(row, layout.context, place),
        responses=_responses(row.get(layout.response), layout.response, place) if layout.response else [],
        category=_category(row, layout.category, place),
        rejected=_text(row.get(layout.rejected), layout.rejected, place) if layout.rejected else "",
    )


def _text(value: Any, column: str, place: str) -> str:
    if value is None:
        raise ShepherdError(f"{place} has no '{column}'; fill it in or drop the row.")
    if not isinstance(value, str):
        raise ShepherdError(f"{place} has {kind(value)} in '{column}'; write text there.")
    if not value.strip():
        raise ShepherdError(f"{place} has an empty '{column}'; fill it in or drop the row.")
    return value


def _responses(value: Any, column: str, place: str) -> list[str]:
    if not isinstance(value, list):
        return [_text(value, column, place)]
    if not value:
        raise ShepherdError(f"{place} has an empty list in '{column}'; give an answer or drop the row.")
    return [_text(answer, column, place) for answer in value]


def _optional(row: Row, column: str | None, place: str) -> str:
    value = row.get(column) if column else None
    blank = value is None or (isinstance(value, str) and not value.strip())
    return "" if blank else _text(value, str(column), place)


def _category(row: Row, column: str | None, place: str) -> str:
    value = row.get(column) if column else None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # a class label
    return _optional(row, column, place) or UNCATEGORISED
