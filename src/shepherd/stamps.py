"""Which file, in which state: what was read of a file is remembered until another one is written in its place."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from shepherd.errors import ShepherdError
from shepherd.files import digest_of

#: Path, time of change in nanoseconds, size in bytes.
Stamp = tuple[str, int, int]


def stamped(path: str, key: str) -> Stamp:
    """Return the stamp of a file that the config's `key` names.

    Raises
    ------
    ShepherdError
        If there is no such file.
    """
    place = Path(path).expanduser()
    try:
        about = place.stat()
    except OSError as error:
        raise ShepherdError(f"Cannot read {place}: {error.strerror}; check {key}.") from error
    return str(place), about.st_mtime_ns, about.st_size


@lru_cache(maxsize=8)
def digest(stamp: Stamp) -> str:
    """Return a fingerprint of a file's content."""
    return digest_of(Path(stamp[0]))
