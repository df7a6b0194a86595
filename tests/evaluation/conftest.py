"""A study with known answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shepherd.study.answers import Answer, ModelCard
from shepherd.study.directory import Study, write_lines
from shepherd.study.questions import Question

Answers = dict[str, list[Answer]]


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[..., Study]:
    """Write a study's questions and answers."""

    def make(questions: list[Question], answers: Answers, **card: Any) -> Study:
        study = Study(tmp_path / "study")
        study.begin(questions, "a test")
        for label, given in answers.items():
            values = {"kind": "model", "source": label, "base_fingerprint": "base", **card}
            study.write_card(ModelCard(label, **values))
            write_lines(study.answers_path(label), given)
        return study

    return make
