"""Every question of a study with every model's answer and the judge's reasons: FedIT's Tables 4 and 5, all of them."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from shepherd.evaluation.words import bare_words
from shepherd.judge.judgement import Judgement
from shepherd.report.units import fixed
from shepherd.study.answers import Answer
from shepherd.study.directory import Study
from shepherd.study.questions import Question

_LONGEST_REASON = 600  # letters


class Reason(NamedTuple):
    """What the judge gave and why."""

    verdict: str
    text: str


@dataclass(frozen=True)
class ShownAnswer:
    """One model's answer: what is said beside its name, and the judge's reasons below it."""

    label: str
    text: str
    figures: list[str]
    reasons: list[Reason]


@dataclass(frozen=True)
class ShownQuestion:
    """One question; `scores` is the line that is read before it is opened."""

    number: int
    instruction: str
    context: str
    references: list[str]
    scores: str
    answers: list[ShownAnswer]


def shown_questions(study: Study) -> list[tuple[str, list[ShownQuestion]]]:
    """Return the questions by category, in the order of the first of each, with all answers and judgements."""
    answers = {label: study.answers(label) for label in study.models()}
    heard = _heard(study)
    categories: dict[str, list[ShownQuestion]] = defaultdict(list)
    for number, question in enumerate(study.questions(), start=1):
        given = {label: found[question.id] for label, found in answers.items() if question.id in found}
        shown = [_answer(label, answer, heard[question.id, label]) for label, answer in given.items()]
        categories[question.category].append(_question(number, question, shown, heard))
    return list(categories.items())


@dataclass
class _Heard:
    """What judges gave one answer, wherever it stood, and why where it was the one judged."""

    scores: list[float] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)

    @property
    def mean(self) -> float | None:
        """The mean of all scores."""
        return statistics.fmean(self.scores) if self.scores else None


def _heard(study: Study) -> dict[tuple[str, str], _Heard]:
    """Return what was heard of every (question, model)."""
    found: dict[tuple[str, str], _Heard] = defaultdict(_Heard)
    judges = study.judges()
    for judge in judges:
        for said in study.judgements(judge):
            given = Reason(_verdict(judge if len(judges) > 1 else "", said), _short(said.reason))
            found[said.question, said.model].reasons.append(given)
            for label, score in ((said.model, said.score), (said.reference, said.reference_score)):
                if score is not None:
                    found[said.question, label].scores.append(score)
    return found


def _question(
    number: int,
    question: Question,
    answers: list[ShownAnswer],
    heard: Mapping[tuple[str, str], _Heard],
) -> ShownQuestion:
    means = {answer.label: heard[question.id, answer.label].mean for answer in answers}
    said = [f"{label} {fixed(mean, 1)}" for label, mean in means.items() if mean is not None]
    return ShownQuestion(
        number=number,
        instruction=question.instruction,
        context=question.context,
        references=question.references,
        scores=" · ".join(said),
        answers=answers,
    )


def _answer(label: str, answer: Answer, heard: _Heard) -> ShownAnswer:
    words = len(bare_words(answer.answer))
    length = f"{words} word{'' if words == 1 else 's'}{', cut' if answer.ended is False else ''}"
    figures = [length] if heard.mean is None else [f"judge {fixed(heard.mean, 1)}", length]
    return ShownAnswer(label, answer.answer, figures, heard.reasons)


def _verdict(judge: str, judgement: Judgement) -> str:
    """Say what was given, to whom, and which answer was read first."""
    against = f" against {judgement.reference}" if judgement.reference else ""
    order = (", shown second" if judgement.swapped else ", shown first") if judgement.reference else ""
    if not judgement.readable:
        given = "unreadable"
    elif judgement.score is None:
        given = {"model": "better", "reference": "worse", "tie": "a tie"}[judgement.winner or "tie"]
    elif judgement.reference_score is None:
        given = f"{judgement.score:g}"
    else:
        given = f"{judgement.score:g} to {judgement.reference_score:g}"
    return f"{judge + ': ' if judge else ''}{given}{against}{order}."


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_REASON else text[:_LONGEST_REASON].rstrip() + " …"
