"""A judge's results by another column of the questions than their category: language, task, domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import fmean

from shepherd.judge.model_result import JudgeResults, ModelResult, QuestionResult
from shepherd.units import is_number


def regrouped(results: JudgeResults, group_of: Mapping[str, str]) -> JudgeResults:
    """Return results whose categories are other groups of the same questions.

    Parameters
    ----------
    results : JudgeResults
        The results.
    group_of : mapping of str to str
        The group of every question, by its id; questions that are not there are in no group.
    """
    models = [replace(model, by_category=_by_group(model, group_of)) for model in results.models]
    return replace(results, models=models)


def _by_group(model: ModelResult, group_of: Mapping[str, str]) -> dict[str, tuple[float, float]]:
    """Return the means of the model and of the reference in every group, as `ModelResult.by_category` has them."""
    groups: dict[str, list[tuple[float, float]]] = {}
    for name, question in model.by_question.items():
        if name in group_of:
            groups.setdefault(group_of[name], []).append(_pair(question))
    return {
        name: (fmean(own for own, _ in pairs), fmean(other for _, other in pairs))
        for name, pairs in groups.items()
    }


def _pair(question: QuestionResult) -> tuple[float, float]:
    """Return both scores or, of a verdict, both parts of the win."""
    if is_number(question.score):
        return question.score, question.reference_score
    return question.preference, 1 - question.preference
