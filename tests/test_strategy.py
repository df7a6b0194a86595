from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, ValidationError

from shepherd.aggregation import AggregationChoice, FedAvg
from shepherd.settings import Settings
from shepherd.strategy import OneOf


class Mine(FedAvg):
    """Somebody's own rule, found by its dotted path."""

    name: str = "mine"
    strength: float = Field(1.0, gt=0)


class Holder(Settings):
    rule: AggregationChoice = FedAvg()


def hold(rule: Any) -> Any:
    return Holder.model_validate({"rule": rule}).rule


def complaint(rule: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        hold(rule)
    return caught.value.errors()[0]["msg"]


def test_a_name_alone_is_enough() -> None:
    assert hold("fedavg") == hold({"name": "fedavg"}) == FedAvg()


def test_a_dotted_path_finds_anybodys_class() -> None:
    assert hold({"name": f"{__name__}.Mine", "strength": 2}) == Mine(name=f"{__name__}.Mine", strength=2)


def test_what_is_resolved_builds_the_same_again() -> None:
    rule = hold({"name": f"{__name__}.Mine", "strength": 3})
    dumped = Holder(rule=rule).model_dump(mode="json")
    assert Holder.model_validate(dumped).rule == rule


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("fedvag", "there is no aggregation called 'fedvag'; did you mean 'fedavg'?"),
        ({"name": "fedavg", "wieghts": "tokens"}, "there is no key 'wieghts' here; did you mean 'weights'?"),
        ("nowhere.at.All", "cannot import 'nowhere.at.All'"),
        ("collections.OrderedDict", "is not a subclass of shepherd's Aggregation"),
    ],
)
def test_what_cannot_be_found_is_said(rule: Any, said: str) -> None:
    assert said in complaint(rule)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('raise RuntimeError("boom")', r"RuntimeError in \S*broken_plugin\.py, line 2: boom"),
        (
            "import not_installed",
            r"ModuleNotFoundError in \S*broken_plugin\.py, line 2: No module named 'not_inst",
        ),
        ("this is no Python", r"SyntaxError: invalid syntax \(broken_plugin\.py, line 2\)"),
        ('raise ValueError("one\\ntwo")', r"ValueError in \S*broken_plugin\.py, line 2: one$"),
        ("import sys; sys.exit(3)", r"SystemExit in \S*broken_plugin\.py, line 2: 3"),
        ("[].nothing", r"AttributeError in \S*broken_plugin\.py, line 2: 'list' object has no"),
        ("pass", r"module 'broken_plugin' has no attribute 'Mine'"),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_sentence_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, said: str
) -> None:
    (tmp_path / "broken_plugin.py").write_text(f'"""Mine."""\n{source}\n')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_plugin", raising=False)
    found = complaint("broken_plugin.Mine")
    assert "cannot import 'broken_plugin.Mine': " in found
    assert re.search(said, found)


def test_strategies_are_frozen() -> None:
    with pytest.raises(ValidationError):
        FedAvg().weights = "tokens"  # type: ignore[misc]


def test_every_strategy_of_every_room_has_a_name_of_its_own() -> None:
    from shepherd.config import RunConfig

    for field in RunConfig.model_fields.values():
        for choice in (each for each in field.metadata if isinstance(each, OneOf)):
            names = [cls.model_fields["name"].default for cls in choice.classes]
            assert all(names)
            assert len(set(names)) == len(names)
