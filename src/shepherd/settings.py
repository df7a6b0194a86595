"""The base of everything a config file can say: frozen, and helpful about unknown keys."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from shepherd.errors import ShepherdError

#: Web addresses, which may hold a password, and a place where people paste their key.
_SECRET = re.compile(r"://|@|key_variable")


def nearest(word: str, known: list[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest known word, or the list of known words."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(known)}"


class Settings(BaseModel):
    """A frozen set of named values that refuses keys it does not know, naming the nearest it does."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            for key in values:
                if key not in cls.model_fields:
                    raise ValueError(
                        f"there is no key '{key}' here{nearest(str(key), list(cls.model_fields))}"
                    )
        return values


def first_mistake(error: ValidationError) -> str:
    """Say the first mistake in one sentence; what may hold a password or a key is not repeated."""
    first = error.errors()[0]
    key, message = ".".join(map(str, first["loc"])), first["msg"]
    message = message.removeprefix("Value error, ").rstrip(".")
    given = first.get("input")
    tells = isinstance(given, str | int | float | list) and not _SECRET.search(f"{key} {given}")
    shown = f" (given: {given!r})" if tells else ""
    end = "" if message.endswith("?") and not shown else "."
    return f"{key + ': ' if key else ''}{message[:1].lower()}{message[1:]}{shown}{end}"


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
