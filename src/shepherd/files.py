"""Files that are either whole or absent: written beside their place, flushed, then renamed."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from shepherd.errors import ShepherdError

_FOLDER_NAME = re.compile(r"[\w-][\w.-]*")
_REASONS = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EACCES: "permission is denied; choose a folder you may write to",
    errno.EPERM: "permission is denied; choose a folder you may write to",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another folder",
}


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write `path` into one sentence."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, f"{error.strerror or error}")
        raise ShepherdError(f"Cannot write {path}: {reason}. What was committed before is kept.") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def folder_name(name: str) -> str:
    """Return a name as the name of a folder: letters, digits, ``.``, ``_`` and ``-`` stay, all else becomes ``_``.

    So does a ``.`` that comes first: ``..`` would be the folder above. A name that is changed ends in six digits of its
    own, so that ``a b`` and ``a_b`` have two folders.
    """
    kept = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)
    kept = f"_{kept[1:]}" if kept.startswith(".") else kept
    return kept if kept == name else f"{kept}-{sha256(name.encode()).hexdigest()[:6]}"


def named_as_folder(name: str) -> str:
    """Return a name that somebody gave to a folder, as it is.

    Raises
    ------
    ValueError
        If it is not made of letters, digits, ``.``, ``_`` and ``-``, or begins with ``.``: it may lead elsewhere.
    """
    if not _FOLDER_NAME.fullmatch(name):
        raise ValueError(
            "a folder's name is made of letters, digits, '.', '_' and '-', and begins with no '.'"
        )
    return name


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    data = content.encode() if isinstance(content, str) else content
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
        _sync(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    write_atomically(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def held(lock: Path, taken: str, seconds: float = 0.0) -> Iterator[None]:
    """Keep every other process out of what `lock` stands for; a killed one holds nothing.

    Parameters
    ----------
    lock : Path
        A file for this only.
    taken : str
        The sentence for whoever comes second.
    seconds : float
        How long to wait for the other one.

    Raises
    ------
    ShepherdError
        If another process is at it.
    """
    with explained(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
    found = FileLock(lock)
    try:
        found.acquire(timeout=seconds)
    except Timeout as error:
        raise ShepherdError(taken) from error
    try:
        yield
    finally:
        found.release()


def is_held(lock: Path) -> bool:
    """Say whether a process keeps others out of what `lock` stands for; any number may look at once.

    Raises
    ------
    OSError
        If the file may not be looked at.
    """
    try:
        with lock.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True


def write_directory(path: Path, fill: Callable[[Path], None]) -> None:
    """Make a directory that appears complete or not at all; an older one is replaced.

    Parameters
    ----------
    path : Path
        Where the directory is to be.
    fill : callable
        Given an empty directory, writes the content into it.
    """
    # The process number keeps two writers of the same directory out of each other's way.
    partial, old = (path.with_name(f".{path.name}.{os.getpid()}.{end}") for end in ("partial", "old"))
    with explained(path):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            fill(partial)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        for file in partial.rglob("*"):
            if file.is_file():
                _sync(file)
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
            path.rename(old)
        partial.rename(path)
        _sync(path.parent)
        shutil.rmtree(old, ignore_errors=True)
