"""Instructions: the table every part of Shepherd reads, wherever it came from."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow

from shepherd.data.layouts import Example, find_layout, read_example
from shepherd.data.reading import Row, Rows, ending, read_rows
from shepherd.errors import ShepherdError
from shepherd.hub import only_cached
from shepherd.settings import nearest

if TYPE_CHECKING:
    import datasets

_PARTS = ("instruction", "context", "responses", "category")
_REJECTED = "rejected"
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?(:[\w.-]+)?")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Instructions:
    """A checked table of instructions.

    Attributes
    ----------
    table : datasets.Dataset
        Columns ``instruction``, ``context`` (``""`` where there is none), ``responses`` (one or several
        acceptable answers; the first is the training target), ``category``, and the file's other columns. Of
        preferences the column ``rejected`` too: an answer that was found worse than the first.
    source : str
        The path or hub name it was read from, for messages.
    """

    table: datasets.Dataset
    source: str

    @classmethod
    def from_arrow(cls, table: pyarrow.Table, source: str) -> Instructions:
        """Wrap an Arrow table that has the four columns."""
        from datasets import Dataset
        from datasets.table import InMemoryTable

        return cls(Dataset(InMemoryTable(table)), source)

    def __len__(self) -> int:
        return len(self.table)

    def column(self, name: str) -> list[Any]:
        """Return a column, one value per row.

        Raises
        ------
        ShepherdError
            If there is no such column.
        """
        if name not in self.table.column_names:
            known = nearest(name, self.table.column_names)
            raise ShepherdError(f"{self.source} has no column '{name}'{known}.")
        return list(self.table[name][:])

    def categories(self) -> np.ndarray:
        """Return every row's category, as a [rows] array of str."""
        return np.array(self.column("category"), dtype=str)

    @property
    def holds_pairs(self) -> bool:
        """Whether they are preferences: every row has a rejected answer too."""
        return _REJECTED in self.table.column_names and None not in self.column(_REJECTED)

    def rejected(self) -> Instructions:
        """Return the same instructions, row by row, with the rejected answers as responses."""
        answers = pyarrow.array(
            [[answer] for answer in self.column(_REJECTED)], pyarrow.list_(pyarrow.string())
        )
        kept = {
            name: pyarrow.array(self.column(name), pyarrow.string()) for name in _PARTS if name != "responses"
        }
        return Instructions.from_arrow(pyarrow.table({**kept, "responses": answers}), self.source)

    def select(self, rows: np.ndarray) -> Instructions:
        """Return the given rows, in the given order."""
        return Instructions(self.table.select(np.asarray(rows, dtype=np.int64)), self.source)

    def fingerprint(self) -> str:
        """Return the SHA-256 of the content (every column), in hex; where it was read from plays no part."""
        digest = hashlib.sha256()
        for batch in self.batches():
            names = sorted(batch)
            for values in zip(*(batch[name] for name in names), strict=True):
                row = json.dumps(dict(zip(names, values, strict=True)), default=str)
                digest.update(row.encode() + b"\n")
        return digest.hexdigest()

    def batches(self, size: int = 1000) -> Iterator[dict[str, list[Any]]]:
        """Yield the table in order, `size` rows at a time, as column to values."""
        for start in range(0, len(self), size):
            yield self.table[start : start + size]


def read_instructions(
    path: str, columns: Mapping[str, str] | None = None, rows: int | None = None
) -> Instructions:
    """Read instructions from a file, the Hugging Face hub, or the built-in meadow.

    Parameters
    ----------
    path : str
        A .json (a list, or ``{"data": [...]}``), .jsonl, .csv or .parquet file; the word ``meadow``, or
        ``meadow-pairs`` for preferences; or a hub name, ``owner/name`` or ``owner/name:split`` (split
        ``train`` unless given).
    columns : mapping of str to str, optional
        Which column is the ``instruction``, ``response``, ``context``, ``category`` or ``rejected``, where the
        layout is not one of those `shepherd.data.layouts` recognises.
    rows : int, optional
        Take only the first so many rows (all, if there are fewer).

    Raises
    ------
    ShepherdError
        If there is nothing there, or a row cannot be used; the message names file and line.
    """
    found = list(islice(find_rows(path, rows), rows))
    if not found:
        raise ShepherdError(f"{path} holds no rows; give a file with at least one instruction.")
    known = list(dict.fromkeys(name for _, row in found for name in row))
    layout = find_layout(known, columns, path)
    examples = [read_example(row, layout, place) for place, row in found]
    arrays = _parts(examples)
    if layout.rejected is not None:
        arrays[_REJECTED] = _rejected(examples, path)
    taken = {layout.instruction, layout.context, layout.response, layout.rejected}
    for name in known:
        if name not in taken and not name == layout.category == "category":
            arrays[_free_name(name, known)] = _other_column([row.get(name) for _, row in found], name, path)
    return Instructions.from_arrow(pyarrow.table(arrays), path)


def _parts(examples: list[Example]) -> dict[str, pyarrow.Array]:
    text = pyarrow.string()
    kinds = {"instruction": text, "context": text, "responses": pyarrow.list_(text), "category": text}
    return {
        part: pyarrow.array([getattr(example, part) for example in examples], kind)
        for part, kind in kinds.items()
    }


def _rejected(examples: list[Example], source: str) -> pyarrow.Array:
    same = sum(example.rejected == example.responses[0] for example in examples)
    if same:
        _log.warning(
            "%s: of %d of %d pairs both answers are the same; those prefer nothing.",
            source,
            same,
            len(examples),
        )
    return pyarrow.array([example.rejected for example in examples], pyarrow.string())


def _free_name(name: str, known: list[str]) -> str:
    """Keep a column's name, unless one of our own has it."""
    if name not in (*_PARTS, _REJECTED):
        return name
    name = f"original_{name}"
    return f"original_{name}" if name in known else name


def _other_column(values: list[Any], name: str, source: str) -> pyarrow.Array:
    """Keep a column that is none of ours; one of mixed kinds cannot be a table column except as text."""
    try:
        return pyarrow.array(values)
    except (pyarrow.ArrowException, OverflowError):
        _log.warning("%s: the column '%s' mixes kinds of values; kept as text", source, name)
        return pyarrow.array([_as_text(value) for value in values], pyarrow.string())


def _as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, default=str)


def find_rows(path: str, rows: int | None = None) -> Rows:
    """Yield every row with the place it stands at; `rows` says how many are wanted, where rows are made up.

    Raises
    ------
    ShepherdError
        If there is nothing at `path`, or it cannot be read.
    """
    if path in ("meadow", "meadow-pairs"):
        return _meadow_rows(path, rows)
    file = Path(os.path.expanduser(path))  # Path.expanduser raises for unknown users
    if file.is_file():
        return read_rows(file)
    if file.is_dir():
        raise ShepherdError(f"{path} is a folder; give the data file inside it.")
    if path.startswith((".", "/", "~")) or ending(path):
        raise ShepherdError(f"There is no file {path}; check data.path (relative to {Path.cwd()}).")
    if not _HUB_NAME.fullmatch(path):
        raise ShepherdError(f"data.path '{path}' is neither a file nor a hub name; give one of the two.")
    return _hub_rows(path)


def _meadow_rows(name: str, rows: int | None) -> Rows:
    from shepherd.data.meadow import meadow, meadow_pairs  # only who asks for it pays for it

    make = meadow if name == "meadow" else meadow_pairs
    for number, row in enumerate(make() if rows is None else make(rows=rows), start=1):
        yield f"{name}, row {number}", row


def _hub_rows(path: str) -> Rows:
    import datasets

    name, _, split = path.partition(":")
    cached = datasets.DownloadConfig(local_files_only=only_cached(name, "dataset"))
    try:
        table = datasets.load_dataset(name, split=split or "train", download_config=cached)
    except Exception as error:  # the hub's client raises dozens of kinds
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ShepherdError(
            f"Cannot load '{path}' from the Hugging Face hub ({reason}); check the name and the network, "
            "or give a local file."
        ) from error
    for number in range(len(table)):
        row: Row = table[number]
        yield f"{path}, row {number + 1}", row
