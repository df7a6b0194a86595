"""The base of everything a config file can say: frozen, and helpful about unknown keys."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from shepherd.errors import ShepherdError

#: Web addresses, which may hold a password, and a place where people paste their key.
SECRET = re.compile(r"://|@|key_variable")
#: What YAML reads as one word, where a person meant a key and its value; not a web address or a drive.
_NO_SPACE = re.compile(r"[A-Za-z_.]+:(?![/\\])\S")


def nearest(word: str, known: list[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest known word, or the list of known words."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(known)}"


def missing_space(text: str) -> str:
    """Return ``"; write a space after the colon: 'name: quantise'"`` for ``name:quantise``; nothing for the rest."""
    if not _NO_SPACE.match(text):
        return ""
    key, _, value = text.split()[0].partition(":")
    return f"; write a space after the colon: '{key}: {value}'"


def refuse_repeated(words: Sequence[str], said: str) -> None:
    """Refuse what is there twice, naming it before `said`."""
    twice = next((word for place, word in enumerate(words) if word in words[:place]), None)
    if twice is not None:
        raise ShepherdError(f"{twice} {said}; give it once.")


class Settings(BaseModel):
    """A frozen set of named values that refuses keys it does not know, naming the nearest it does.

    A field without a default has ``examples``: what is said of a value that is not given shows the first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            for key in values:
                if key not in cls.model_fields:
                    known = missing_space(str(key)) or nearest(str(key), list(cls.model_fields))
                    raise ValueError(f"there is no key '{key}' here{known}")
            cls._refuse_missing_keys(values)
        return values

    @classmethod
    def _refuse_missing_keys(cls, values: Mapping[Any, Any]) -> None:
        for key, field in cls.model_fields.items():
            if field.is_required() and key not in values:
                about = {"key": key, "example": str((field.examples or [""])[0])}
                raise PydanticCustomError("not_given", "it has no {key}", about)


def first_mistake(error: ValidationError) -> str:
    """Say the first mistake in one sentence; what may hold a password or a key is not repeated."""
    first = error.errors()[0]
    if first["type"] == "not_given":
        return _not_given(first["loc"], **first["ctx"])
    key, given = _place(first["loc"]), first.get("input")
    secret = SECRET.search(f"{key} {given}")
    message = first["msg"].removeprefix("Value error, ").rstrip(".")
    if first["type"] in ("list_type", "tuple_type"):
        message = "this is a list" + ("" if secret else f", e.g. {_listed(given)}")
    if first["type"] == "string_type" and isinstance(given, int | float):
        message = f"this is meant to be text; put it in quotes of its own, e.g. '\"{given}\"'"
    tells = isinstance(given, str | int | float | list) and not secret
    shown = f" (given: {given!r})" if tells else ""
    end = "" if message.endswith("?") and not shown else "."
    return f"{key + ': ' if key else ''}{message[:1].lower()}{message[1:]}{shown}{end}"


def _place(keys: Sequence[int | str]) -> str:
    """Return keys and places in lists as people write them: transforms[0].bits."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")


def _listed(value: Any) -> str:
    """Return a value as the list that it should have been."""
    values = [word.strip() for word in value.split(",")] if isinstance(value, str) else [value]
    return yaml.safe_dump(values, default_flow_style=True, sort_keys=False, width=math.inf).strip()


def _not_given(place: tuple[int | str, ...], key: str, example: str) -> str:
    """Say that a key has no value and, where one is known, what a value looks like."""
    whole = _place((*place, key))
    # What is in a list has no key of its own on the command line.
    listed = any(isinstance(part, int) for part in place)
    shown = f"{key}: {example}" if listed else f"{whole}={example}"
    shown = f"'{shown}'" if " " in example else shown  # for the shell
    return f"{whole} is not given, and has no default" + (f"; set it, e.g. {shown}." if example else ".")


_Model = TypeVar("_Model", bound=BaseModel)


def checked(kind: type[_Model], values: Mapping[str, Any], wrong: str) -> _Model:
    """Return settings made of plain values.

    Parameters
    ----------
    kind : type
        Which settings.
    values : mapping
        The plain values.
    wrong : str
        What a mistake's sentence begins with, such as the file's name.

    Raises
    ------
    ShepherdError
        Naming the first mistake.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        raise ShepherdError(f"{wrong}: {first_mistake(error)}") from None
