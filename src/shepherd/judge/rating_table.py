"""A model's judgements as arrays: by question, by order shown, by rating."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from shepherd.judge.judgement import Form, Judgement

#: Scores closer than this are a tie (FastChat's rule).
TIE = 0.1
_PREFERENCES = {"model": 1.0, "tie": 0.5, "reference": 0.0}


@dataclass(frozen=True)
class RatingTable:
    """The ratings of one model against the reference.

    Attributes
    ----------
    questions : list of str
        The ids of the questions that were put to the judge, in the study's order.
    scores : array of float, [questions, orders, ratings, 2]
        The model's and the reference's; NaN where there is none. The first order shows the model first, the second
        the reference; single grading has one.
    preferences : array of float, [questions, orders, ratings]
        1 where the model is better, 0 where the reference is, 0.5 for a tie; NaN where there is none.
    ratings, unreadable : int
        Replies that could be read, and that could not.
    """

    questions: list[str]
    scores: np.ndarray
    preferences: np.ndarray
    ratings: int
    unreadable: int


def better(differences: np.ndarray) -> np.ndarray:
    """Return the preferences that score differences stand for: 1, 0, or 0.5 of what differs by no more than `TIE`."""
    preferences = np.where(differences > 0, 1.0, 0.0)
    preferences[np.abs(differences) <= TIE + 1e-9] = 0.5  # 8.1 - 8 is a little more than 0.1 in binary
    preferences[np.isnan(differences)] = np.nan
    return preferences


def rating_table(
    judgements: Iterable[Judgement], model: str, reference: str, form: Form, questions: Sequence[str]
) -> RatingTable:
    """Return the ratings of `model` against `reference`.

    Parameters
    ----------
    judgements : iterable of Judgement
        Everything the judge said.
    model, reference : str
        The labels; in single grading the reference's own grades stand beside the model's, and `""` has none.
    form : {"scores", "verdict", "single"}
        Which judgements are meant.
    questions : sequence of str
        The ids of the questions that are looked at, in order.
    """
    wanted = set(questions)
    asked = [j for j in judgements if j.form == form and j.question in wanted]
    if form == "single":
        own = [j for j in asked if j.model == model]
        others = [j for j in asked if j.model == reference]
        return _graded(own, others, _of_both(questions, own, others if reference else own))
    own = [j for j in asked if (j.model, j.reference) == (model, reference)]
    return _paired(own, form, _of_both(questions, own, own))


def _of_both(questions: Sequence[str], own: list[Judgement], others: list[Judgement]) -> list[str]:
    judged = {j.question for j in own} & {j.question for j in others}
    return [question for question in questions if question in judged]


def _paired(own: list[Judgement], form: Form, questions: list[str]) -> RatingTable:
    scores = np.full((len(questions), 2, _most(own), 2), np.nan)
    preferences = np.full(scores.shape[:3], np.nan)
    rows = {question: row for row, question in enumerate(questions)}
    for j in own:
        place = rows[j.question], int(j.swapped), j.rating
        scores[place] = _number(j.score), _number(j.reference_score)
        preferences[place] = _PREFERENCES.get(j.winner or "", np.nan)
    if form == "scores":
        preferences = better(scores[..., 0] - scores[..., 1])
    return _counted(own, questions, scores, preferences)


def _graded(own: list[Judgement], others: list[Judgement], questions: list[str]) -> RatingTable:
    """Return single grades, the reference's beside the model's by the rating's number."""
    scores = np.full((len(questions), 1, _most([*own, *others]), 2), np.nan)
    rows = {question: row for row, question in enumerate(questions)}
    for column, judgements in enumerate((own, others)):
        for j in judgements:
            if j.question in rows:
                scores[rows[j.question], 0, j.rating, column] = _number(j.score)
    return _counted(own, questions, scores, better(scores[..., 0] - scores[..., 1]))


def _counted(
    own: list[Judgement], questions: list[str], scores: np.ndarray, preferences: np.ndarray
) -> RatingTable:
    readable = sum(j.readable for j in own)
    return RatingTable(questions, scores, preferences, readable, len(own) - readable)


def _most(judgements: list[Judgement]) -> int:
    return max((j.rating + 1 for j in judgements), default=0)


def _number(score: float | None) -> float:
    return np.nan if score is None else score
