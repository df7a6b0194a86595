"""docs/algorithms.md names every algorithm that a config can ask for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from pydantic import BaseModel

from shepherd.config import DataConfig, RunConfig
from shepherd.simulation import Synchronous
from shepherd.strategy import OneOf
from shepherd.training import Engine

#: Choices within a section, and the section that names what they offer.
WITHIN = {"correction": "training", "holdout": "allocation", "devices": "system", "availability": "system"}
PAGE = (Path(__file__).parents[1] / "docs" / "algorithms.md").read_text()


def choices(kind: type[BaseModel]) -> Iterator[tuple[str, OneOf]]:
    """Yield the sections of a config that are a choice, with the choice."""
    for section, hint in get_type_hints(kind, include_extras=True).items():
        found = list(choices_in(hint))
        if found:
            yield section, found[0]


def choices_in(hint: Any) -> Iterator[OneOf]:
    """Yield the choices that a type hint is made of, however deep."""
    yield from (one for one in getattr(hint, "__metadata__", ()) if isinstance(one, OneOf))
    for part in get_args(hint):
        yield from choices_in(part)


@pytest.mark.parametrize(
    ("section", "name"),
    [
        (section, str(algorithm.model_fields["name"].default))
        for kind in (RunConfig, Engine, DataConfig, Synchronous)
        for section, choice in choices(kind)
        for algorithm in choice.classes
    ],
)
def test_the_page_names_it_in_its_section(section: str, name: str) -> None:
    part = re.search(
        rf"^## `{WITHIN.get(section, section)}`.*?(?=^## |\Z)", PAGE, flags=re.DOTALL | re.MULTILINE
    )
    assert part is not None
    assert f"`{name}`" in part[0]
