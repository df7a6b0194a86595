"""From judgements to results: FedIT's Table 3 and figure 3, win rates, and what the judge itself is worth.

FedIT adds up, over 20 questions, the mean of three ratings from 1 to 10, for the baseline and for its own model, and
divides the sums. Here every question's mean is taken within each order of the answers first and then over the orders,
all figures of a pair are over the same questions, and each has an interval.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shepherd.errors import ShepherdError
from shepherd.evaluation.words import bare_words
from shepherd.judge.judgement import Form, Judgement
from shepherd.judge.length_control import others_preferences
from shepherd.judge.model_result import JudgeResults, ModelResult, QuestionResult
from shepherd.judge.one_result import Judged, Lengths, model_result
from shepherd.judge.rating_table import rating_table
from shepherd.judge.result_notes import notes
from shepherd.settings import nearest
from shepherd.study.directory import Study
from shepherd.study.questions import Question, drawn

__all__ = ["JudgeResults", "ModelResult", "QuestionResult", "judge_results"]


def judge_results(
    study: Study,
    judge: str,
    reference: str | None = None,
    form: Form = "scores",
    models: Sequence[str] | None = None,
    count: int | None = None,
    seed: int = 0,
) -> JudgeResults:
    """Return what a judge's ratings come to.

    Parameters
    ----------
    study : Study
        The study.
    judge : str
        The judge's name.
    reference : str, optional
        What the models are judged against: label or path. May be left out where there is one only. In single grading
        it is a model whose own grades the others' are compared with; left out, there is no comparison.
    form : {"scores", "verdict", "single"}
        Which of the judge's ratings.
    models : sequence of str, optional
        Labels or paths; everything judged against the reference if there are none.
    count : int, optional
        Only so many of the questions, drawn as `shepherd judge --count` draws them.
    seed : int
        What the questions, and the intervals' draws, are drawn by.

    Raises
    ------
    ShepherdError
        If the judge has not judged that, there are several references to choose from, or not so many questions.
    """
    questions = study.questions() if count is None else drawn(study.questions(), count, seed)
    judgements = [j for j in study.judgements(judge) if j.form == form]
    if not judgements:
        study.judge_settings(judge)
        raise ShepherdError(
            f"{judge} has no judgements in the form '{form}' in {study.path}: run `shepherd judge`."
        )
    reference = _reference(study, judge, judgements, reference)
    labels = _models(study, judgements, reference, models)
    results = _results(study, judgements, form, labels, reference, questions, seed)
    known = set(study.models())
    cards = [study.card(label) for label in (*labels, reference) if label in known]
    said = notes(form, results, len(questions), cards)
    heard = [
        model for model in results if model.ratings
    ]  # of the others there is nothing but what the notes say
    return JudgeResults(judge, form, reference, heard, said, len(questions))


def _reference(study: Study, judge: str, judgements: Sequence[Judgement], wanted: str | None) -> str:
    if judgements[0].form == "single":
        judged = dict.fromkeys(j.model for j in judgements)
        return (
            "" if wanted is None else _one_of(study, wanted, list(judged), f"{judge} has graded no answer of")
        )
    known = list(dict.fromkeys(j.reference for j in judgements))
    if wanted is not None:
        return _one_of(study, wanted, known, f"{judge} has judged nothing against")
    if len(known) > 1:
        raise ShepherdError(f"{judge} has judged against {', '.join(known)}; say which with --against.")
    return known[0]


def _models(
    study: Study, judgements: Sequence[Judgement], reference: str, wanted: Sequence[str] | None
) -> list[str]:
    single = judgements[0].form == "single"
    known = [j.model for j in judgements if single or j.reference == reference]
    judged = [label for label in dict.fromkeys(known) if label != reference]
    if not wanted:
        return judged
    against = f"against {reference} " if reference else ""
    return list(
        dict.fromkeys(_one_of(study, name, judged, f"Nothing {against}is judged of") for name in wanted)
    )


def _one_of(study: Study, name: str, known: list[str], absent: str) -> str:
    """Return the label among `known` that a label or path means."""
    label = name if name in known else study.model(name)
    if label not in known:
        raise ShepherdError(f"{absent} '{label}'{nearest(label, known)}. Judge it first: `shepherd judge`.")
    return label


def _results(
    study: Study,
    judgements: Sequence[Judgement],
    form: Form,
    labels: Sequence[str],
    reference: str,
    questions: Sequence[Question],
    seed: int,
) -> list[ModelResult]:
    categories = {question.id: question.category for question in questions}
    lengths = {label: _lengths(study, label) for label in (*labels, reference)}
    judged = []
    for label in labels:
        table = rating_table(judgements, label, reference, form, list(categories))
        judged.append(Judged(label, reference, form, table, lengths[label], lengths[reference]))
    difficulty = _difficulty(judged, list(categories))
    return [model_result(one, categories, difficulty.get(one.label), seed) for one in judged]


def _lengths(study: Study, label: str) -> Lengths:
    if label not in study.models():
        return {}
    answers = study.answers(label)
    return {name: (len(bare_words(given.answer)), len(given.answer)) for name, given in answers.items()}


def _difficulty(judged: Sequence[Judged], questions: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return, for each model, how the others fared on each question; nothing where they are too few."""
    rows = {question: row for row, question in enumerate(questions)}
    preferences = np.full((len(judged), len(questions)), np.nan)
    for row, one in zip(preferences, judged, strict=True):
        row[[rows[question] for question in one.table.questions]] = one.verdicts
    others = others_preferences(preferences)
    if others is None:
        return {}
    return {
        one.label: dict(zip(questions, row, strict=True)) for one, row in zip(judged, others, strict=True)
    }
