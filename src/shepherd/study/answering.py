"""Asking models: every answer is kept as it comes, and a study that was stopped goes on with what is missing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from shepherd.endpoint import ReplyStore
from shepherd.errors import ShepherdError
from shepherd.evaluation.decoding import DecodingSettings
from shepherd.evaluation.words import bare_words
from shepherd.files import explained
from shepherd.study.answers import Answer, ModelCard
from shepherd.study.directory import Study
from shepherd.study.questions import Question

#: What answers depend on; where a model lies, and what else is known of it, may change.
_DECISIVE = ("kind", "base_fingerprint", "fingerprint", "prompt", "decoding")


class Respondent(Protocol):
    """Whoever answers: a model on this machine, or one behind an endpoint."""

    @property
    def card(self) -> ModelCard:
        """Who it is."""

    def answers(
        self, questions: Sequence[Question], decoding: DecodingSettings, batch_size: int | None
    ) -> Iterator[Answer]:
        """Yield every question's answer, in the order they come."""


class Watcher:
    """Told how the asking goes on; this one does nothing."""

    def asking(self, label: str, answered: int, questions: int) -> None:
        """`label` is asked; so many of the questions it has answered before."""

    def answered(self, answer: Answer) -> None:
        """An answer was kept."""


@dataclass(frozen=True)
class Answered:
    """How one model's part of a study stands.

    Attributes
    ----------
    label : str
        The model.
    answers : list of Answer
        All of its answers, in the questions' order.
    questions : int
        Questions of the study.
    seconds : float
        What asking it took now.
    """

    label: str
    answers: list[Answer]
    questions: int
    seconds: float

    @property
    def words(self) -> float | None:
        """Mean words an answer."""
        counts = [len(bare_words(answer.answer)) for answer in self.answers]
        return sum(counts) / len(counts) if counts else None

    @property
    def cut(self) -> int:
        """Answers cut at the most tokens allowed, of those known to be."""
        return sum(answer.ended is False for answer in self.answers)


def answer(
    study: Study,
    respondent: Respondent,
    decoding: DecodingSettings,
    batch_size: int | None = None,
    anew: bool = False,
    watcher: Watcher | None = None,
) -> Answered:
    """Have a model answer the questions of a study that it has not answered yet.

    Parameters
    ----------
    study : Study
        The study, held by this process.
    respondent : Respondent
        Who answers.
    decoding : DecodingSettings
        How.
    batch_size : int, optional
        Answers generated at once; what suits the device unless told.
    anew : bool
        Throw its earlier answers away first.
    watcher : Watcher, optional
        Told how it goes on.

    Raises
    ------
    ShepherdError
        If it has answered under other settings or with other weights, or what is stored is damaged.
    """
    began, watcher = time.perf_counter(), watcher or Watcher()
    card = replace(respondent.card, decoding=decoding.effective())
    path = study.answers_path(card.label)
    if anew:
        forget(study, card.label)
    drop_cut_line(path)
    before = study.answers(card.label)
    if before:
        _check_same(study.card(card.label), card)
    study.write_card(_as_asked(study, card))
    questions = study.questions()
    missing = [question for question in questions if question.id not in before]
    watcher.asking(card.label, len(before), len(questions))
    if missing:
        for found in _kept(path, respondent.answers(missing, decoding, batch_size)):
            watcher.answered(found)
        study.write_card(_as_asked(study, card))
    answers = list(study.answers(card.label).values())
    return Answered(card.label, answers, len(questions), time.perf_counter() - began)


def forget(study: Study, label: str) -> None:
    """Delete what a model answered, and what judges said of it."""
    path = study.answers_path(label)
    with explained(path):
        # An endpoint's replies first: answers without them are asked for again, replies without answers are not.
        for old in (replies_path(study, label), path):
            old.unlink(missing_ok=True)
    for judge in study.asked_judges():
        kept = [j for j in study.judgements(judge) if label not in (j.model, j.reference)]
        study.write_judgements(judge, kept)


def replies_path(study: Study, label: str) -> Path:
    """Return the file of an endpoint's replies as they came."""
    return study.answers_path(label).with_suffix(".replies.jsonl")


def _as_asked(study: Study, card: ModelCard) -> ModelCard:
    """Return a model's card, saying so if its server refused to be told the temperature."""
    if not ReplyStore(replies_path(study, card.label)).without_temperature:
        return card
    return replace(card, about=card.about | {"temperature_accepted": False})


def drop_cut_line(path: Path) -> None:
    """Cut off what a kill left of a last line; its question is asked again."""
    if not path.exists():
        return
    with explained(path):
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.truncate(path, whole)


def _kept(path: Path, answers: Iterable[Answer]) -> Iterator[Answer]:
    """Append each answer, in the operating system's hands before the next is asked for."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("ab", buffering=0)
    with stream:
        for found in answers:
            with explained(path):
                stream.write(json.dumps(found.to_dict(), ensure_ascii=False).encode() + b"\n")
            yield found


def _check_same(before: ModelCard, now: ModelCard) -> None:
    for difference in _differences(before, now):
        raise ShepherdError(
            f"'{now.label}' has answered before, {difference}; give it another label "
            f"(label={now.source}), or replace its answers with --anew."
        )


def _differences(before: ModelCard, now: ModelCard) -> Iterator[str]:
    for part in _DECISIVE:
        old, new = getattr(before, part), getattr(now, part)
        if old != new:
            yield _difference(part, old, new)
    was, now_at = before.about.get("base_url"), now.about.get("base_url")
    if was != now_at:
        yield f"at another server ({was}, not {now_at})"


def _difference(part: str, old: Any, new: Any) -> str:
    if not isinstance(old, dict) or not isinstance(new, dict):
        what = {"kind": "kind", "base_fingerprint": "base model", "fingerprint": "weights"}[part]
        return (
            f"and its {what} has changed since" if what != "weights" else "and its weights have changed since"
        )
    key = next(key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key))
    shown = [repr(value) for value in (old.get(key), new.get(key))]
    values = f"={shown[0]}, not {shown[1]}" if max(map(len, shown)) < 40 else " of other content"
    return f"with {part} {key}{values}"
