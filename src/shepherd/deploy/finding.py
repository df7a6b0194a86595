"""What `shepherd doctor` finds: one line for each thing it looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

from shepherd.errors import ShepherdError

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """What came of one check.

    Attributes
    ----------
    level : str
        ``ok``, ``warning`` (it works, but look at it), or ``problem`` (it does not).
    what : str
        What is so, in a sentence.
    advice : str
        What to do about it; empty where there is nothing to do.
    """

    level: Level
    what: str
    advice: str = ""


_Subject = TypeVar("_Subject")
Check = Callable[[_Subject], Finding]


def ok(what: str) -> Finding:
    """Return that all is well."""
    return Finding("ok", what)


def look(subject: _Subject, groups: Iterable[Iterable[Check[_Subject]]]) -> Iterator[Finding]:
    """Make checks, in groups: what comes after a group's first problem could only fail too, and is not looked at.

    What a check refuses is a problem; of two checks that meet the same one, the first says it.
    """
    findings: list[Finding] = []
    for group in groups:
        for check in group:
            found = _made(check, subject)
            if found not in findings:
                findings.append(found)
                yield found
            if found.level == "problem":
                break


def _made(check: Check[_Subject], subject: _Subject) -> Finding:
    try:
        return check(subject)
    except ShepherdError as error:
        return Finding("problem", str(error))
    except OSError as error:  # a file that another user owns, a folder in its place
        what = f"Cannot read {error.filename or 'a file'}: {error.strerror or error}."
        return Finding("problem", what, "Look at its owner and mode, or restore it.")
