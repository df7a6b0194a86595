"""What a judge's reply says: read strictly, never guessed.

A reply in any but the form asked for is unreadable: it is better asked again than misread. ``9/10`` is one score, not
two; a scale that ends at 10 has no 11; two different verdicts are none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from shepherd.judge.judgement import Form

#: Of a reply that cannot be read, this many characters are kept as what it said.
SHOWN = 500

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_BETWEEN = r"(?:[ \t]*[,;][ \t]+|[ \t]+and[ \t]+|[ \t]+)"
_PAIR = re.compile(rf"({_NUMBER}){_BETWEEN}({_NUMBER})|({_NUMBER})/10{_BETWEEN}({_NUMBER})/10")
_LABEL = r"assistant[ \t]*([12])(?:['’]s)?(?:[ \t]+(?:score|rating))?[ \t]*[:=][ \t]*"
_LABELLED = rf"{_LABEL}({_NUMBER})(?:[ \t]*/[ \t]*10)?"
_ITEM = re.compile(_LABELLED, re.IGNORECASE)
_ITEMS = re.compile(rf"{_LABELLED}(?:[ \t]*(?:[,;/|]|and)?[ \t]*{_LABELLED})*\.?", re.IGNORECASE)
_VERDICT = re.compile(r"\[\[([ABC])\]\]")
_GRADE = re.compile(rf"\[\[[ \t]*({_NUMBER})[ \t]*\]\]")
_THOUGHT = re.compile(r"</?think(?:ing)?>", re.IGNORECASE)
_EMPHASIS = re.compile(r"\*\*|__|`")


@dataclass(frozen=True)
class Reading:
    """What a reply says of the answers, in the order in which they were shown.

    Attributes
    ----------
    scores : tuple of float
        1 to 10 for each answer; none of a verdict.
    better : str, optional
        ``first``, ``second`` or ``tie``; None of single grading.
    reason : str
        The judge's words, without the scores or the verdict.
    """

    scores: tuple[float, ...]
    better: Literal["first", "second", "tie"] | None
    reason: str


def read(form: Form, reply: str) -> Reading | None:
    """Return what a reply says, or None where it is not in the form asked for.

    Parameters
    ----------
    form : str
        ``scores``: the first line is two numbers, or whole lines say ``Assistant 1: 8`` and ``Assistant 2: 7``.
        ``verdict``: one of ``[[A]]``, ``[[B]]``, ``[[C]]``, however often. ``single``: one ``[[n]]``, likewise.
    reply : str
        The judge's words. Of a thinking model what follows its last thought; one cut while it thinks said nothing.
    """
    spoken = _without_thoughts(reply)
    if spoken is None:
        return None
    return {"scores": _read_scores, "verdict": _read_verdict, "single": _read_single}[form](spoken.strip())


def _without_thoughts(reply: str) -> str | None:
    """Return what is said after the last thought; None while one is open. The template may have opened the first."""
    marks = list(_THOUGHT.finditer(reply))
    if not marks:
        return reply
    return reply[marks[-1].end() :] if marks[-1][0].startswith("</") else None


def shortened(reply: str) -> str:
    """Return the beginning of a reply that cannot be read."""
    text = reply.strip()
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _read_scores(reply: str) -> Reading | None:
    first, _, rest = reply.partition("\n")
    pair = _PAIR.fullmatch(_plain(first))
    if pair:
        return _scored([float(number) for number in pair.groups() if number], rest)
    return _read_labelled(reply)


def _read_labelled(reply: str) -> Reading | None:
    """Read lines that say whose score is whose, in whichever order; each assistant must have one score."""
    said: dict[str, set[float]] = {"1": set(), "2": set()}
    reasons = []
    for line in reply.splitlines():
        if not _ITEMS.fullmatch(_plain(line)):
            reasons.append(line)
            continue
        for who, score in _ITEM.findall(_plain(line)):
            said[who].add(float(score))
    if any(len(scores) != 1 for scores in said.values()):
        return None
    return _scored([scores.pop() for scores in said.values()], "\n".join(reasons))


def _scored(scores: list[float], reason: str) -> Reading | None:
    first, second = scores
    if not all(1 <= score <= 10 for score in scores):
        return None
    better: Literal["first", "second", "tie"] = "tie"
    if first != second:
        better = "first" if first > second else "second"
    return Reading((first, second), better, reason.strip())


def _read_verdict(reply: str) -> Reading | None:
    said = set(_VERDICT.findall(reply))
    if len(said) != 1:
        return None
    better: dict[str, Literal["first", "second", "tie"]] = {"A": "first", "B": "second", "C": "tie"}
    return Reading((), better[said.pop()], _before(_VERDICT, reply))


def _read_single(reply: str) -> Reading | None:
    grades = {float(number) for number in _GRADE.findall(reply)}
    if len(grades) != 1 or not 1 <= min(grades) <= 10:
        return None
    return Reading((grades.pop(),), None, _before(_GRADE, reply))


def _before(mark: re.Pattern[str], reply: str) -> str:
    """Return the lines before the one that holds the mark, or all the words where that is the first."""
    words = mark.split(reply, maxsplit=1)[0]
    return words.rpartition("\n")[0].strip() or mark.sub("", reply).strip()


def _plain(line: str) -> str:
    """Return a line without what surrounds it and without bold type."""
    return _EMPHASIS.sub("", line).strip()
