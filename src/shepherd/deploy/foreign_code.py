"""Code that comes over the network is not run: a config from outside may name built-in strategies only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel

from shepherd.config import RunConfig
from shepherd.deploy.refusal import Refused
from shepherd.settings import Settings
from shepherd.strategy import OneOf, Strategy


def refuse_foreign_code(values: Mapping[str, Any]) -> None:
    """Refuse plain values of a config in which a strategy is somebody's class, given by its dotted path.

    It has to be asked before the values become a `RunConfig`: finding such a class imports its module.

    Raises
    ------
    Refused
        Naming the setting.
    """
    _look_into(RunConfig, values, "")


def strategies(settings: BaseModel, place: str = "") -> Iterator[tuple[str, Strategy]]:
    """Yield every strategy of a config, however deep, with the setting it is in."""
    for key in type(settings).model_fields:
        found = getattr(settings, key)
        inner = f"{place}.{key}" if place else key
        for one in found if isinstance(found, list | tuple) else [found]:
            if isinstance(one, Strategy):
                yield inner, one
            if isinstance(one, BaseModel):
                yield from strategies(one, inner)


def _look_into(kind: type[BaseModel], values: Mapping[str, Any], place: str) -> None:
    for key, field in kind.model_fields.items():
        if key in values:
            inner = f"{place}.{key}" if place else key
            _look_at(field.annotation, field.metadata, values[key], inner)


def _look_at(annotation: Any, metadata: Iterable[Any], value: Any, place: str) -> None:
    """Look at one value as pydantic would: of a union at every kind it may be, of a list at every item."""
    choice = next((one for one in metadata if isinstance(one, OneOf)), None)
    parts = get_args(annotation)
    if choice is not None:
        _look_at_choice(choice, value, place)
    elif get_origin(annotation) is Annotated:
        _look_at(parts[0], parts[1:], value, place)
    elif isinstance(value, list):
        for one in value:
            for part in parts:
                _look_at(part, (), one, place)
    elif parts:
        for part in parts:
            _look_at(part, (), value, place)
    elif isinstance(annotation, type) and issubclass(annotation, Settings) and isinstance(value, Mapping):
        _look_into(annotation, value, place)


def _look_at_choice(choice: OneOf, value: Any, place: str) -> None:
    """Look at a strategy, given by its name or by a mapping, and at those inside it."""
    named = {"name": value} if isinstance(value, str) else value
    if not isinstance(named, Mapping):
        return  # nothing that a strategy could be made of
    known = {str(one.model_fields["name"].default): one for one in choice.classes}
    name = str(named.get("name", next(iter(known))))
    if "." in name:
        raise Refused(
            f"{place} names the class '{name[:60]}', and a site runs no code but the installed shepherd's; choose "
            f"one of {', '.join(known)}."
        )
    if name in known:  # of any other, the config's own check says more
        _look_into(known[name], named, place)
