"""A study of a few questions, and a judge whose ratings are known: an answer says itself what it is worth."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shepherd.judge.settings import JudgeSettings
from shepherd.study.answers import Answer, ModelCard
from shepherd.study.directory import Study, write_lines
from shepherd.study.questions import Question

WORTH = re.compile(r"worth (\S+)")
ANSWER = re.compile(r"<<<(ANSWER[^>]*) BEGINS>>>\n(.*?)\n<<<\1 ENDS>>>", re.DOTALL)


def make_study(path: Path, worths: Mapping[str, list[str | None]], questions: int = 4) -> Study:
    """Make a study in which every model's answer to question n says `worths[model][n]`; None is no answer."""
    study = Study(path)
    asked = [
        Question(f"q{n}", "ab"[n % 2], f"Question {n}?", references=["yes"][: n % 2])
        for n in range(questions)
    ]
    study.begin(asked, "a test")
    for label, said in worths.items():
        study.write_card(ModelCard(label, "run", f"runs/{label}", "tiny", "f" * 8))
        answers = [Answer(q.id, f"{label} says: worth {w}") for q, w in zip(asked, said, strict=False) if w]
        write_lines(study.answers_path(label), answers)
    return study


def shown(body: dict[str, Any]) -> list[str]:
    """The answers in a request, in the order shown."""
    return [text for _, text in ANSWER.findall(body["messages"][-1]["content"])]


def worths(body: dict[str, Any]) -> list[str]:
    """What the answers in a request are worth, in the order shown."""
    return [WORTH.search(text)[1] for text in shown(body)]  # type: ignore[index]


def by_worth(body: dict[str, Any]) -> str:
    """Score answers by what they say they are worth."""
    return " ".join(worths(body)) + "\nAs they say themselves."


def settings(url: str, **changes: Any) -> JudgeSettings:
    """Settings of a judge behind the fake server."""
    endpoint = {"model": "judge-1", "base_url": url, "backoff_s": 0, **changes.pop("endpoint", {})}
    return JudgeSettings.model_validate({"endpoint": endpoint, "ratings": 1, **changes})
