"""An algorithm is its own configuration.

A strategy is a frozen pydantic model: its fields are its hyper-parameters, its methods are the
algorithm, and its ``name`` is how a config file asks for it. `one_of` turns the strategies of a room
into a config field that also takes somebody else's class by its dotted path.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, SerializeAsAny

from shepherd.errors import first_line
from shepherd.settings import Settings, missing_space, nearest


class Strategy(Settings):
    """Base of every algorithm in Shepherd; subclasses give ``name`` a default."""

    #: Of settings for the same thing, which one goes when the other is given on top of a preset.
    instead: ClassVar[Mapping[str, str]] = {}
    #: Fields that mean something else in every other algorithm, so that neither takes over the other's.
    of_its_own: ClassVar[frozenset[str]] = frozenset()

    name: str = ""

    def suits(self, config: Any) -> None:
        """Refuse a run that this strategy cannot serve.

        Parameters
        ----------
        config : RunConfig
            The whole run's config, in which this strategy is a section.

        Raises
        ------
        ValueError
            A sentence: what does not go together, and what would.
        """


@dataclass(frozen=True)
class OneOf:
    """The strategies a config field offers; the first is the one meant when no name is given."""

    kind: type[Strategy]
    classes: tuple[type[Strategy], ...]

    @property
    def default(self) -> str:
        """The name that is meant when none is given."""
        return str(self.classes[0].model_fields["name"].default)

    def find(self, name: str) -> type[Strategy]:
        """Find a strategy by its name, or by dotted path for somebody else's class.

        Raises
        ------
        ValueError
            If there is no such strategy, or the path does not lead to a subclass of the room's base.
        """
        table = {str(cls.model_fields["name"].default): cls for cls in self.classes}
        if name in table:
            return table[name]
        if "." not in name:
            known = missing_space(name) or _elsewhere(name) or nearest(name, list(table))
            raise ValueError(f"there is no {_room(self.kind)} called '{name}'{known}")
        found = _imported(name)
        if not (isinstance(found, type) and issubclass(found, self.kind)):
            raise ValueError(f"'{name}' is not a subclass of shepherd's {self.kind.__name__}")
        return found

    def build(self, value: Any) -> Any:
        """Turn a name, or a mapping with a name, into the strategy it asks for."""
        if isinstance(value, str):
            value = {"name": value}
        if not isinstance(value, dict):
            return value
        return self.find(str(value.get("name", self.default))).model_validate(value)


def _room(kind: type[Strategy]) -> str:
    """Return what the strategies of one base are called."""
    return kind.__name__.removesuffix("Kind").lower()


def _elsewhere(name: str) -> str:
    """Return ``"; that is of another section, aggregation"`` for a name of that room; nothing for what is in none."""
    for kind in Strategy.__subclasses__():
        left = list[type[Strategy]]([kind])
        while left:
            found = left.pop()
            left += found.__subclasses__()
            if found.model_fields["name"].default == name:
                return f"; that is of another section, {_room(kind)}"
    return ""


def _imported(path: str) -> Any:
    """Return what a dotted path leads to; whatever its module does wrong is said with the place."""
    module, _, attribute = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:
        no_module = isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")
        no_attribute = isinstance(error, AttributeError) and error.obj is sys.modules.get(module)
        kind = "" if no_module or no_attribute else f"{type(error).__name__}{_place(error)}: "
        raise ValueError(f"cannot import '{path}': {kind}{first_line(error)}") from error


def _place(error: BaseException) -> str:
    """Return the file and the line that an error comes from, as words behind its kind."""
    if isinstance(error, SyntaxError):
        return ""  # says it itself
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")
    ]
    return f" in {frames[-1].filename}, line {frames[-1].lineno}"


def one_of(kind: type[Strategy], *classes: type[Strategy]) -> Any:
    """Return the config field type "one of these strategies, or a dotted path to another"."""
    choice = OneOf(kind, classes)
    return Annotated[SerializeAsAny[kind], BeforeValidator(choice.build), choice]  # type: ignore[misc, valid-type]
