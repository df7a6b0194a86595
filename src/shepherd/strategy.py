"""An algorithm is its own configuration.

A strategy is a frozen pydantic model: its fields are its hyper-parameters, its methods are the
algorithm, and its ``name`` is how a config file asks for it. `one_of` turns the strategies of a room
into a config field that also takes somebody else's class by its dotted path.
"""

from __future__ import annotations

import difflib
import importlib
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, SerializeAsAny


class Strategy(BaseModel):
    """Base of every algorithm in Shepherd; subclasses give ``name`` a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = ""


def nearest(word: str, known: list[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the closest known word, or the list of known words."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(known)}"


def strategy_name(cls: type[Strategy]) -> str:
    """Return the name by which config files ask for `cls`."""
    return str(cls.model_fields["name"].default)


def find_class(name: str, kind: type[Strategy], classes: tuple[type[Strategy], ...]) -> type[Strategy]:
    """Find a strategy by its name, or by dotted path for somebody else's class.

    Raises
    ------
    ValueError
        If there is no such strategy, or the dotted path does not lead to a subclass of `kind`.
    """
    table = {strategy_name(cls): cls for cls in classes}
    if name in table:
        return table[name]
    if "." not in name:
        raise ValueError(f"there is no {kind.__name__.lower()} '{name}'{nearest(name, list(table))}")
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"cannot import '{name}': {error}") from error
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise ValueError(f"'{name}' is not a subclass of shepherd's {kind.__name__}")
    return found


def one_of(kind: type[Strategy], *classes: type[Strategy]) -> Any:
    """Return the config field type "one of these strategies, or a dotted path to another"."""

    def build(value: Any) -> Any:
        if isinstance(value, str):
            value = {"name": value}
        if not isinstance(value, dict):
            return value
        fields = {"name": strategy_name(classes[0]), **value}
        return find_class(str(fields["name"]), kind, classes).model_validate(fields)

    return Annotated[SerializeAsAny[kind], BeforeValidator(build)]  # type: ignore[valid-type]
