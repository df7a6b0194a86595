"""Everything that was answered, on disk as it comes: what is paid for once is never asked for again."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

from shepherd.errors import ShepherdError
from shepherd.files import explained

#: Seconds between two requests to the disk itself to have everything: what a power cut may lose.
_SYNC_S = 5.0
_COUNT = (int, type(None))
_TYPES: dict[str, type | tuple[type, ...]] = {
    "key": str,
    "text": str,
    "prompt_tokens": _COUNT,
    "completion_tokens": _COUNT,
    "finish": (str, type(None)),
    "model": str,
}


@dataclass(frozen=True)
class Reply:
    """What a model answered to a `Request`.

    Attributes
    ----------
    key : str
        The request's key.
    text : str
        The answer; ``""`` where the server gave none.
    prompt_tokens, completion_tokens : int, optional
        As the server counted them; None where it does not count.
    finish : str, optional
        Why the answer ended, e.g. ``stop`` or ``length``; None where the server does not say.
    model : str
        The model's name as the server gives it.
    """

    key: str
    text: str
    prompt_tokens: int | None
    completion_tokens: int | None
    finish: str | None
    model: str


class ReplyStore:
    """An append-only JSONL file of replies, each with what was asked.

    A line that a kill cut short at the file's end is ignored, and overwritten by the next reply. Threads may share a
    store; two processes may not (`Study.held` sees to that).

    Parameters
    ----------
    path : Path
        The file; it need not be there yet.

    Attributes
    ----------
    without_temperature : bool
        Whether some reply was asked for without a temperature, since its server had refused to be told one.

    Raises
    ------
    ShepherdError
        If another line is damaged; it is named.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._stream: FileIO | None = None
        self._synced = time.monotonic()
        self.without_temperature = False
        self._replies: dict[str, Reply] = {}
        self._length = self._read()

    @property
    def replies(self) -> Mapping[str, Reply]:
        """Every reply by its key, in the order they came."""
        return MappingProxyType(self._replies)

    def get(self, key: str) -> Reply | None:
        """Return the reply to the request of this key, if it is here."""
        return self._replies.get(key)

    def add(self, reply: Reply, asked: Mapping[str, Any] | None = None) -> None:
        """Keep a reply, in the operating system's hands before this returns; of one key the first is kept.

        Parameters
        ----------
        reply : Reply
            What was answered.
        asked : dict, optional
            What was sent, for whoever reads the file.
        """
        line = json.dumps({"asked": asked, "reply": asdict(reply)}, ensure_ascii=False) + "\n"
        with self._lock, explained(self.path):
            if reply.key not in self._replies:
                self._append(line.encode())
                self._note(reply, asked)

    def close(self) -> None:
        """Have the disk itself keep everything. The store can go on being used."""
        with self._lock, explained(self.path):
            if self._stream is not None:
                os.fsync(self._stream.fileno())
                self._stream.close()
                self._stream = None

    def _read(self) -> int:
        """Read the file's replies, and return how many of its bytes are whole lines."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise ShepherdError(f"{self.path} cannot be read ({error.strerror}); restore it.") from error
        lines = data.split(b"\n")
        for number, line in enumerate(lines, start=1):
            found = _parsed(line)
            if found is not None:
                self._note(*found)
            elif number == len(lines):
                # Nothing, or what a kill left of a line: its reply is asked for again.
                return len(data) - len(line)
            elif line.strip():
                raise ShepherdError(
                    f"{self.path}, line {number}, holds no reply; restore it, or delete that line."
                )
        return len(data)

    def _note(self, reply: Reply, asked: Mapping[str, Any] | None) -> None:
        self._replies.setdefault(reply.key, reply)
        if asked and "temperature" not in asked:
            self.without_temperature = True

    def _append(self, line: bytes) -> None:
        stream = self._stream = self._stream or self._opened()
        try:
            rest = line
            while rest:
                rest = rest[stream.write(rest) :]
        except OSError:
            # A full disk leaves no half line in the middle of what comes later.
            stream.truncate(self._length)
            raise
        self._length += len(line)
        if time.monotonic() - self._synced > _SYNC_S:
            os.fsync(stream.fileno())
            self._synced = time.monotonic()

    def _opened(self) -> FileIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        stream = FileIO(self.path, "a+")
        stream.truncate(self._length)
        if self._length and _byte_before(stream, self._length) != b"\n":
            self._length += stream.write(b"\n") or 0
        return stream


def _byte_before(stream: FileIO, place: int) -> bytes:
    stream.seek(place - 1)
    return stream.read(1)


def _parsed(line: bytes) -> tuple[Reply, dict[str, Any] | None] | None:
    """Return the reply that a line holds, and what was asked; None where it holds none."""
    try:
        values = json.loads(line)
        reply, asked = Reply(**values["reply"]), values.get("asked")
    except (ValueError, TypeError, KeyError, RecursionError, AttributeError):
        return None
    if not all(isinstance(getattr(reply, name), kind) for name, kind in _TYPES.items()):
        return None
    return reply, asked if isinstance(asked, dict) else None
