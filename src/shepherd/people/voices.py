"""What one rater says of everything, in the two ways people and judges are compared: scores and preferences."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from statistics import fmean

import numpy as np

from shepherd.judge.judgement import Form, Judgement
from shepherd.judge.one_result import Judged
from shepherd.judge.rating_table import rating_table
from shepherd.people.rating import HumanRating
from shepherd.statistics.agreement import Sample

#: What is compared, beginning with the question it belongs to.
Thing = tuple[str, ...]


@dataclass(frozen=True)
class Voice:
    """A person, several people together, or a judge.

    Attributes
    ----------
    name : str
        What they are called.
    scores : dict
        Scores, 1 to 10, by question, model, reference and whose answer it is. The same answer beside another reference
        is another thing.
    preferences : dict
        By question and the two labels in alphabetical order: above 0 the first is better, below 0 the second, 0 is a
        tie. Where answers were rated one by one, every two models' scores on a question make one.
    """

    name: str
    scores: dict[Thing, float] = field(default_factory=dict)
    preferences: dict[Thing, float] = field(default_factory=dict)


def person(name: str, ratings: Iterable[HumanRating]) -> Voice:
    """Return what ratings come to, those of the same answers averaged: one person's, or several people's."""
    scores: dict[Thing, list[float]] = defaultdict(list)
    margins: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for r in ratings:
        scores[r.question, r.model, r.reference, r.model].append(r.score)
        if r.reference_score is not None:
            scores[r.question, r.model, r.reference, r.reference].append(r.reference_score)
            margins[r.question, r.model, r.reference].append(r.score - r.reference_score)
    means = {thing: fmean(values) for thing, values in scores.items()}
    pairs = (_preference(*labels, fmean(values)) for labels, values in margins.items())
    return Voice(name, means, _between_models(means) | dict(pairs))


def judge_voices(name: str, judgements: Sequence[Judgement], questions: Sequence[str]) -> list[Voice]:
    """Return what a judge says, a voice for each form it was asked in, by the rules of its own results.

    A score is the mean over the ratings of each order, then over the orders; a win needs both orders.

    Parameters
    ----------
    name : str
        The judge.
    judgements : sequence of Judgement
        Everything it said.
    questions : sequence of str
        The ids of the study's questions.
    """
    forms = sorted({judgement.form for judgement in judgements})
    names = {form: name if len(forms) == 1 else f"{name} ({form})" for form in forms}
    return [_judge_voice(names[form], form, judgements, questions) for form in forms]


def _judge_voice(name: str, form: Form, judgements: Sequence[Judgement], questions: Sequence[str]) -> Voice:
    scores: dict[Thing, float] = {}
    preferences: dict[Thing, float] = {}
    for model, reference in sorted({(j.model, j.reference) for j in judgements if j.form == form}):
        table = rating_table(judgements, model, reference, form, questions)
        found = Judged(model, reference, form, table, {}, {}).by_question(dict.fromkeys(questions, ""))
        for question, said in found.items():
            scores[question, model, reference, model] = said.score
            if reference:
                scores[question, model, reference, reference] = said.reference_score
                preferences |= [_preference(question, model, reference, said.preference - 0.5)]
    known = {thing: score for thing, score in scores.items() if not math.isnan(score)}
    return Voice(name, known, _between_models(known) | preferences)


def _preference(question: str, one: str, other: str, margin: float) -> tuple[Thing, float]:
    return ((question, one, other), margin) if one < other else ((question, other, one), -margin)


def _between_models(scores: Mapping[Thing, float]) -> dict[Thing, float]:
    """Return the preferences that scores of single answers make: every two models on a question."""
    alone: dict[str, dict[str, float]] = defaultdict(dict)
    for (question, model, reference, _), score in scores.items():
        if not reference:
            alone[question][model] = score
    return dict(
        _preference(question, one, other, by_model[one] - by_model[other])
        for question, by_model in alone.items()
        for one, other in combinations(by_model, 2)
    )


def sample(one: Voice, other: Voice, said: Callable[[Voice], dict[Thing, float]]) -> Sample:
    """Return what both said of the same things: of their scores, or of their preferences."""
    first, second = said(one), said(other)
    common = sorted(first.keys() & second.keys())
    values = [np.array([voice[thing] for thing in common], dtype=float) for voice in (first, second)]
    return Sample([thing[0] for thing in common], *values)
