"""Every question of a study with every model's answer and the judge's reasons: FedIT's Tables 4 and 5, all of them."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from shepherd.evaluation.words import bare_words
from shepherd.judge.judgement import Judgement
from shepherd.judge.model_result import JudgeResults
from shepherd.study.answers import Answer
from shepherd.study.directory import Study
from shepherd.units import fixed, is_number

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


def shown_questions(study: Study, results: Sequence[JudgeResults]) -> list[tuple[str, list[ShownQuestion]]]:
    """Return the questions by category, in the order of the first of each, with all answers and judgements.

    Parameters
    ----------
    study : Study
        The study.
    results : sequence of JudgeResults
        What its judges found; the line that is read before a question is opened has the first one's scores.
    """
    answers = {label: study.answers(label) for label in study.models()}
    scores, first, reasons = _scores(results), _scores(results[:1]), _reasons(study)
    categories: dict[str, list[ShownQuestion]] = defaultdict(list)
    for number, question in enumerate(study.questions(), start=1):
        given = {label: found[question.id] for label, found in answers.items() if question.id in found}
        shown = [
            _answer(label, answer, scores[question.id, label], reasons[question.id, label])
            for label, answer in given.items()
        ]
        said = [score.short for label in given for score in first[question.id, label]]
        categories[question.category].append(
            ShownQuestion(
                number=number,
                instruction=question.instruction,
                context=question.context,
                references=question.references,
                scores=" · ".join(said),
                answers=shown,
            )
        )
    return list(categories.items())


class _Score(NamedTuple):
    """A mean score of an answer: with the model's name before it, and with who gave it beside what."""

    short: str
    long: str


def _scores(results: Sequence[JudgeResults]) -> dict[tuple[str, str], list[_Score]]:
    """Return every judge's mean scores of every (question, model); the reference's is a mean over its rivals."""
    found: dict[tuple[str, str], list[_Score]] = defaultdict(list)
    for result in results:
        beside = f" beside {result.reference}" if result.reference else ""
        own: dict[str, list[float]] = defaultdict(list)
        for model in result.models:
            for name, question in model.by_question.items():
                if is_number(question.score):
                    short = f"{model.label} {fixed(question.score, 1)}"
                    long = f"{result.judge} {fixed(question.score, 1)}{beside}"
                    found[name, model.label].append(_Score(short, long))
                if is_number(question.reference_score):
                    own[name].append(question.reference_score)
        for name, scores in own.items():
            mean = fixed(statistics.fmean(scores), 1)
            short = f"{result.reference} {mean}"
            found[name, result.reference].append(_Score(short, f"{result.judge} {mean} beside the others"))
    return found


def _reasons(study: Study) -> dict[tuple[str, str], list[Reason]]:
    """Return what judges said of every (question, model)."""
    found: dict[tuple[str, str], list[Reason]] = defaultdict(list)
    judges = study.judges()
    for judge in judges:
        for said in study.judgements(judge):
            given = Reason(_verdict(judge if len(judges) > 1 else "", said), _short(said.reason))
            found[said.question, said.model].append(given)
    return found


def _answer(label: str, answer: Answer, scores: Sequence[_Score], reasons: list[Reason]) -> ShownAnswer:
    words = len(bare_words(answer.answer))
    length = f"{words} word{'' if words == 1 else 's'}{', cut' if answer.ended is False else ''}"
    return ShownAnswer(label, answer.answer, [*(score.long for score in scores), length], reasons)


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
