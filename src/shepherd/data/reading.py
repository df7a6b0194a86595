"""Rows out of a JSON, JSON lines, CSV or Parquet file, each with the place it stands at.

This file knows file formats and nothing of instructions: it yields ``(place, row)`` and refuses what is
not a table of named values.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow
from pyarrow import parquet

from shepherd.errors import ShepherdError, first_line

Row = dict[str, Any]
Rows = Iterator[tuple[str, Row]]

_BOM = b"\xef\xbb\xbf"


def read_rows(path: Path) -> Rows:
    """Yield ``(place, row)`` for every row of a local file, recognised by its ending.

    Parameters
    ----------
    path : Path
        A .json, .jsonl, .csv or .parquet file; all but the last may also end in .gz.

    Yields
    ------
    (str, dict)
        Where the row stands (``file:line``, or ``file, row n`` for Parquet), and its columns.

    Raises
    ------
    ShepherdError
        If the ending is unknown, or the file cannot be read as what its ending says.
    """
    reader = _READERS.get(ending(path.name))
    if reader is None:
        known = ", ".join(_READERS)
        raise ShepherdError(f"Cannot tell what {path} is from its ending; give a file ending in {known}.")
    try:
        yield from reader(path)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ShepherdError(f"Cannot read {path}: {reason}; check the file.") from error


def ending(name: str) -> str:
    """Return the data-file ending of `name`, e.g. ``".jsonl.gz"``, or ``""`` if it has none we know."""
    found = [known for known in _READERS if name.lower().endswith(known)]
    return max(found, key=len, default="")


def _open(path: Path) -> BinaryIO:
    return gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb")  # type: ignore[return-value]


def _decode(data: bytes, path: Path, first_line: int = 1) -> str:
    try:
        return data.removeprefix(_BOM).decode() if first_line == 1 else data.decode()
    except UnicodeDecodeError as error:
        line = first_line + data[: error.start].count(b"\n")
        raise ShepherdError(f"{path}:{line} is not UTF-8 text; save the file as UTF-8.") from error


def _checked(row: Any, raw: str, place: str) -> Row:
    if not isinstance(row, dict):
        raise ShepherdError(f"{place} holds {kind(row)} where a row must be an object; write {{...}} there.")
    if "\\u" in raw:
        try:
            json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ShepherdError(f"{place} holds half a surrogate pair, no character; repair it.") from error
    return row


def kind(value: Any) -> str:
    """Name the JSON kind of a value, for messages."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "nothing"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)


def _malformed(place: str, error: Exception) -> ShepherdError:
    reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    return ShepherdError(f"{place} is not valid JSON ({reason}); repair that line.")


def _json_lines(path: Path) -> Rows:
    with _open(path) as stream:
        for number, line in enumerate(stream, start=1):
            place, text = f"{path}:{number}", _decode(line, path, number)
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise _malformed(place, error) from error
            yield place, _checked(row, text, place)


class _JsonText:
    """A JSON document read value by value, so that every row knows its line."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.text, self.at = path, text, 0
        self._line, self._counted, self._decoder = 1, 0, json.JSONDecoder()

    def place(self) -> str:
        """Return ``file:line`` of the current position."""
        self._line += self.text.count("\n", self._counted, self.at)
        self._counted = self.at
        return f"{self.path}:{self._line}"

    def peek(self) -> str:
        """Skip white space and return the next character (empty at the end)."""
        while self.at < len(self.text) and self.text[self.at] in " \t\r\n":
            self.at += 1
        return self.text[self.at : self.at + 1]

    def expect(self, allowed: str) -> str:
        """Take one of the `allowed` characters."""
        found = self.peek()
        if not found or found not in allowed:
            wanted = " or ".join(f"'{character}'" for character in allowed)
            raise ShepherdError(f"{self.place()} is not valid JSON ({wanted} expected); repair that line.")
        self.at += 1
        return found

    def value(self) -> Any:
        """Take one whole value."""
        self.peek()
        try:
            value, self.at = self._decoder.raw_decode(self.text, self.at)
        except json.JSONDecodeError as error:
            self.at = error.pos
            raise _malformed(self.place(), error) from error
        except (ValueError, RecursionError) as error:
            raise _malformed(self.place(), error) from error
        return value

    def rows(self) -> Rows:
        """Yield the objects of the list that starts here."""
        self.expect("[")
        if self.peek() == "]":
            self.at += 1
            return
        while True:
            self.peek()
            place, start = self.place(), self.at
            row = self.value()
            yield place, _checked(row, self.text[start : self.at], place)
            if self.expect(",]") == "]":
                return

    def members(self) -> Iterator[str]:
        """Yield the keys of the object that starts here; the caller takes each key's value."""
        self.expect("{")
        while self.peek() == '"':
            yield self.value()
            if self.expect(",}") == "}":
                return
        self.expect("}")


def _json(path: Path) -> Rows:
    with _open(path) as stream:
        document = _JsonText(path, _decode(stream.read(), path))
    first = document.peek()
    if first == "[":
        yield from document.rows()
    elif first == "{":
        yield from _data_member(document)
    elif first:
        raise ShepherdError(f"{document.place()} starts no list of rows; write [{{...}}, ...] there.")
    if document.peek():
        raise ShepherdError(
            f"{document.place()} has more text after the end of the JSON document; "
            "if every line is an object of its own, name the file .jsonl."
        )


def _data_member(document: _JsonText) -> Rows:
    found = False
    for key in document.members():
        document.expect(":")
        if key == "data" and document.peek() == "[":
            found = True
            yield from document.rows()
        else:
            document.value()
    if not found:
        raise ShepherdError(
            f'{document.path} is one object without a "data" list; write [{{...}}, ...] or '
            '{"data": [...]}, or name the file .jsonl if every line is an object.'
        )


def _csv(path: Path) -> Rows:
    with _open(path) as stream:
        text = _decode(stream.read(), path)
    limit = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        _check_header(header, path)
        start = reader.line_num + 1
        for cells in reader:
            if cells:
                yield f"{path}:{start}", _csv_row(header, cells, f"{path}:{start}")
            start = reader.line_num + 1
    except csv.Error as error:
        raise ShepherdError(f"{path}:{reader.line_num} is not valid CSV ({error}); repair it.") from error
    finally:
        csv.field_size_limit(limit)


def _check_header(header: list[str], path: Path) -> None:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ShepherdError(f"{path}:1 names the column '{twice[0]}' twice; rename one of them.")


def _csv_row(header: list[str], cells: list[str], place: str) -> Row:
    if len(cells) != len(header):
        raise ShepherdError(
            f"{place} has {len(cells)} fields where the header names {len(header)} columns; "
            "quote fields that hold commas or line breaks."
        )
    return dict(zip(header, cells, strict=True))


def _parquet(path: Path) -> Rows:
    try:
        table = parquet.read_table(path)
    except pyarrow.ArrowException as error:
        reason = first_line(error)
        raise ShepherdError(f"{path} cannot be read as Parquet ({reason}); check the file.") from error
    number = 0
    for batch in table.to_batches(max_chunksize=1000):
        for row in batch.to_pylist():
            number += 1
            yield f"{path}, row {number}", row


_READERS: dict[str, Callable[[Path], Rows]] = {
    ".json": _json,
    ".json.gz": _json,
    ".jsonl": _json_lines,
    ".jsonl.gz": _json_lines,
    ".csv": _csv,
    ".csv.gz": _csv,
    ".parquet": _parquet,
}
