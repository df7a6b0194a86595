"""Every figure of one model against the reference."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from shepherd.judge.consistency import position_bias, self_agreement, swap_consistency
from shepherd.judge.judgement import Form
from shepherd.judge.length_control import length_controlled, why_not
from shepherd.judge.model_result import ModelResult, QuestionResult
from shepherd.judge.rating_table import RatingTable
from shepherd.judge.win_rates import order_verdicts, question_verdicts, win_rate
from shepherd.statistics.bootstrap import UNKNOWN, Interval, question_means, two_level_means

#: Fewer questions tell nothing: all of 5 point the same way by chance in 6 of 100 studies (2 / 2⁵), and draws of
#: questions that all do have no width to show it.
FEWEST_TOLD = 6
#: Words and characters of a model's answers, by question.
Lengths = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Judged:
    """A model's ratings against the reference, and how long both models' answers are."""

    label: str
    reference: str
    form: Form
    table: RatingTable
    lengths: Lengths
    reference_lengths: Lengths

    @cached_property
    def scores(self) -> np.ndarray:
        """The scores, [questions, orders, ratings, columns]: the model's and, if there is one, the reference's."""
        return self.table.scores if self.reference else self.table.scores[..., :1]

    @cached_property
    def orders(self) -> np.ndarray:
        """What each order says of each question, [questions, orders]."""
        return order_verdicts(self.table, self.form)

    @cached_property
    def verdicts(self) -> np.ndarray:
        """What the orders say together, [questions]; NaN where there is nothing to compare."""
        return question_verdicts(self.orders)

    def by_question(self, categories: Mapping[str, str]) -> dict[str, QuestionResult]:
        """Return what was made of every question with a readable rating."""
        means = question_means(self.scores)
        found = {}
        for name, row, verdict in zip(self.table.questions, means, self.verdicts, strict=True):
            if math.isnan(row[0]) and math.isnan(verdict):
                continue
            score, reference_score = (*map(float, row), math.nan)[:2]
            words, characters = self.lengths.get(name, (None, None))
            other_words, other_characters = self.reference_lengths.get(name, (None, None))
            lengths = (words, other_words, characters, other_characters)
            found[name] = QuestionResult(categories[name], score, reference_score, float(verdict), *lengths)
        return found


def model_result(
    judged: Judged, categories: Mapping[str, str], difficulty: Mapping[str, float] | None, seed: int = 0
) -> ModelResult:
    """Return every figure of one model.

    Parameters
    ----------
    judged : Judged
        Its ratings.
    categories : mapping of str to str
        The questions' categories.
    difficulty : mapping of str to float, optional
        How the other models fared on each question (`length_control.others_preferences`).
    seed : int
        The seed of the intervals' draws.
    """
    by_question = judged.by_question(categories)
    counted = list(by_question.values())
    scores = _scores(judged.scores, seed)
    rate = win_rate(judged.verdicts, seed)
    controlled, no_control = _length_controlled(judged, by_question, difficulty, seed)
    wins, ties, losses = (int((judged.verdicts == verdict).sum()) for verdict in (1.0, 0.5, 0.0))
    return ModelResult(
        label=judged.label,
        reference=judged.reference,
        questions=len(counted),
        ratings=judged.table.ratings,
        unreadable=judged.table.unreadable,
        model_sum=_sum(question.score for question in counted),
        reference_sum=_sum(question.reference_score for question in counted),
        reference_over_model=scores.relative,
        model_over_reference=scores.relative.inverse,
        wins=wins,
        ties=ties,
        losses=losses,
        win_rate=rate,
        length_controlled=controlled,
        words=_mean(question.words for question in counted),
        reference_words=_mean(question.reference_words for question in counted),
        position_bias=position_bias(judged.table, judged.form, seed),
        self_agreement=self_agreement(judged.table.preferences) if judged.form != "single" else None,
        by_category=_by_category(counted),
        inside_noise=_is_noise(judged, len(counted), scores.relative, rate),
        swap_consistency=swap_consistency(judged.orders),
        mean=scores.mean,
        reference_mean=scores.reference_mean,
        difference=scores.difference,
        one_order=int((np.isnan(judged.orders).sum(axis=1) == 1).sum()) if judged.form != "single" else 0,
        no_length_control=no_control,
        by_question=by_question,
    )


@dataclass(frozen=True)
class _Scores:
    mean: Interval
    reference_mean: Interval = UNKNOWN
    relative: Interval = UNKNOWN
    difference: Interval = UNKNOWN


def _scores(scores: np.ndarray, seed: int) -> _Scores:
    """Return what the scores come to, all of the same draws; NaN of verdicts, which have none."""
    means = two_level_means(scores, seed)
    if scores.shape[-1] == 1:
        return _Scores(means.interval(lambda model: model))
    return _Scores(
        mean=means.interval(lambda model, reference: model),
        reference_mean=means.interval(lambda model, reference: reference),
        relative=means.interval(lambda model, reference: reference / model),
        difference=means.interval(lambda model, reference: model - reference),
    )


def _length_controlled(
    judged: Judged,
    by_question: Mapping[str, QuestionResult],
    difficulty: Mapping[str, float] | None,
    seed: int,
) -> tuple[Interval | None, str]:
    """Return the length-controlled win rate, or None and why there is none.

    Lengths are in characters, as AlpacaEval counts: not every language puts spaces between words.
    """
    if not judged.reference:
        return None, ""
    known = {name: question for name, question in by_question.items() if _has_lengths(question)}
    preferences = np.array([question.preference for question in known.values()])
    differences = np.array([_longer_by(question) for question in known.values()], dtype=float)
    reason = why_not(preferences, differences)
    if reason:
        return None, reason
    others = None if difficulty is None else np.array([difficulty[name] for name in known])
    return length_controlled(preferences, differences, others, seed), ""


def _has_lengths(question: QuestionResult) -> bool:
    lengths = (question.characters, question.reference_characters)
    return None not in lengths and not math.isnan(question.preference)


def _longer_by(question: QuestionResult) -> int:
    return (question.characters or 0) - (question.reference_characters or 0)


def _by_category(questions: Iterable[QuestionResult]) -> dict[str, tuple[float, float]]:
    """Return mean scores, or of verdicts win rates, of model and reference; nothing where no category is said."""
    groups: dict[str, list[tuple[float, float]]] = {}
    for question in questions:
        pair = (question.score, question.reference_score)
        if math.isnan(question.score):
            pair = (question.preference, 1 - question.preference)
        groups.setdefault(question.category, []).append(pair)
    if set(groups) <= {""}:
        return {}
    return {
        name: (_mean(one for one, _ in pairs), _mean(two for _, two in pairs))
        for name, pairs in groups.items()
    }


def _is_noise(judged: Judged, questions: int, relative: Interval, rate: Interval) -> bool:
    if judged.reference and questions < FEWEST_TOLD:
        return True
    if judged.form == "verdict":
        return not rate.excludes(0.5)
    return bool(judged.reference) and not relative.excludes(1)


def _sum(values: Iterable[float]) -> float:
    listed = list(values)
    return math.fsum(listed) if listed else math.nan


def _mean(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else math.nan
