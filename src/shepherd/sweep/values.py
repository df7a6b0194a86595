"""What a sweep tries, read from words: ``adapter.rank=4,8,16``; and what its cells are called."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shepherd.errors import ShepherdError
from shepherd.settings import refuse_repeated

_JOINED = "+"
_LONGEST_NAME = 120
_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_UNSAFE = re.compile(r"[^\w.-]+", re.ASCII)


@dataclass(frozen=True)
class Axis:
    """A key of the config, or several joined by ``+``, and the values that are tried, as they were written."""

    key: str
    values: tuple[str, ...]

    @property
    def keys(self) -> list[str]:
        """The keys that change together; mostly one."""
        return [key.strip() for key in self.key.split(_JOINED)]

    def changes(self, value: str) -> list[str]:
        """Return one of the values as ``key=value`` for each key."""
        parts = alternatives(value, _JOINED) if _JOINED in self.key else [value]
        return [f"{key}={part}" for key, part in zip(self.keys, parts, strict=True)]


def read_axis(assignment: str) -> Axis:
    """Return the keys and the values of ``key=a,b,c``, or of ``key+other=a+x,b+y``.

    Raises
    ------
    ShepherdError
        If there is no key, nothing between two commas, a value twice, or one that has not a part for every key.
    """
    key, equals, text = assignment.partition("=")
    if not equals or not key.strip():
        raise ShepherdError(f"'{assignment}' is no key=value; write e.g. adapter.rank=4,8,16.")
    values = alternatives(text)
    if len(values) > 1 and not all(values):
        raise ShepherdError(f"'{assignment}' has nothing between two commas or after the last; take one out.")
    refuse_repeated(values, f"is there twice in '{assignment}'")
    axis = Axis(key.strip(), tuple(values))
    for value in values if _JOINED in key else ():
        _refuse_other_count(axis, value)
    return axis


def _refuse_other_count(axis: Axis, value: str) -> None:
    parts = alternatives(value, _JOINED)
    if not all(axis.keys) or not all(parts) or len(parts) != len(axis.keys):
        raise ShepherdError(
            f"'{axis.key}' has {len(axis.keys)} keys, and '{value}' is not a value for each; join both by +, e.g. "
            "aggregation.name+training.correction=fedavg+null,scaffold+scaffold, and put a value with + into quotes."
        )


def alternatives(text: str, sign: str = ",") -> list[str]:
    """Return what commas, or another sign, part at the outermost level: of ``[1,2],[3,4]`` two lists.

    Commas inside ``[]`` and ``{}``, and inside quotes where YAML has quotes begin (at the start of a value), do
    not part anything.
    """
    parts, depth, position, begins = [""], 0, 0, True
    while position < len(text):
        quoted = _QUOTED.match(text, position) if begins else None
        piece = quoted.group() if quoted else text[position]
        position += len(piece)
        if piece == sign and not depth:
            parts.append("")
            begins = True
            continue
        depth = max(0, depth + (piece in ("[", "{")) - (piece in ("]", "}")))
        parts[-1] += piece
        begins = (begins and piece.isspace()) or (depth > 0 and piece in ("[", "{", ",", ":"))
    return [part.strip() for part in parts]


def read_seeds(text: str) -> list[int]:
    """Return the seeds of ``0,1,2``.

    Raises
    ------
    ShepherdError
        If one is no whole number from 0, or is there twice.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdecimal() for word in words):
        raise ShepherdError(f"The seeds are '{text}'; give whole numbers from 0, parted by commas: 0,1,2.")
    seeds = [int(word) for word in words]
    refuse_repeated([str(seed) for seed in seeds], f"is there twice in the seeds '{text}'")
    return seeds


def in_words(values: Mapping[str, str]) -> str:
    """Return values as people read them: rank=8, alpha=0.5."""
    return ", ".join(f"{k}={v}" for k, v in zip(short_keys(tuple(values)), values.values(), strict=True))


def cell_name(values: Mapping[str, str], seed: int) -> str:
    """Return a folder's name that people can read: ``rank-8_alpha-0.5_seed-0``.

    Where a value has signs no folder's name should have, or the name is long, part of a hash tells it apart from
    others that would be written alike.
    """
    pairs = zip(short_keys(tuple(values)), values.values(), strict=True)
    words = [f"{key}-{value}" for key, value in pairs]
    name = "_".join(_UNSAFE.sub("-", word).strip("-") for word in words)
    if name != "_".join(words) or len(name) > _LONGEST_NAME:
        name = f"{name[:_LONGEST_NAME]}_{hashlib.sha256(json.dumps(dict(values)).encode()).hexdigest()[:8]}"
    return f"{name}_seed-{seed}" if values else f"seed-{seed}"


def short_keys(keys: Sequence[str]) -> list[str]:
    """Return the last part of every key, or the whole where two end alike; of an algorithm's name its section.

    Of keys joined by ``+`` each is shortened.
    """
    short = [_JOINED.join(map(_last_part, key.split(_JOINED))) for key in keys]
    return [word if short.count(word) == 1 else key for word, key in zip(short, keys, strict=True)]


def _last_part(key: str) -> str:
    return key.strip().removesuffix(".name").rpartition(".")[2]
