"""A study of a few questions, with answers of three models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rated_study import MODELS, answer

from shepherd.people.exchange import hand_out
from shepherd.people.items import Item, Material, draw
from shepherd.people.sheet import sheet_path, write_sheet
from shepherd.study.directory import Study
from shepherd.study.questions import Question

Says = Callable[[Item], tuple[float | None, ...]]
Rate = Callable[..., list[Item]]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Six questions; every model has answered them all."""
    made = Study(tmp_path / "study")
    questions = [
        Question(f"q{n}", "kind", f"Question {n}?", "Some text." if n == 1 else "") for n in range(6)
    ]
    made.begin(questions, "tests")
    for label in MODELS:
        answer(made, label, {q.id: f"What {label} says to {q.id}" for q in questions})
    return made


@pytest.fixture
def rate(study: Study) -> Rate:
    """Rates as told: `says` gives each item's scores, A first."""

    def call(
        rater: str, says: Says, models: tuple[str, ...] = MODELS, reference: str = "chatgpt"
    ) -> list[Item]:
        material = Material(study)
        items = draw(material, models, reference, rater=rater).items
        rows = hand_out(study, rater, items, material)
        said = {item.id: says(item) for item in items}
        filled = {name: replace(row, scores=said.get(name, row.scores)) for name, row in rows.items()}
        write_sheet(sheet_path(study, rater), filled)
        return items

    return call
