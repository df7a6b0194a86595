"""Scores that need no judge: stored answers against the questions' references, one figure a question.

It knows answers and metrics. Which questions belong together is `groups`' business, tables are `report`'s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from shepherd.errors import ShepherdError
from shepherd.evaluation.measured import METRICS, Measured, Metric
from shepherd.evaluation.of_texts import OF_TEXTS
from shepherd.evaluation.words import bare_words
from shepherd.settings import nearest
from shepherd.study.answers import Answer, ModelCard
from shepherd.study.directory import Study
from shepherd.study.questions import Question


@dataclass(frozen=True)
class ModelScores:
    """One model's scores.

    Attributes
    ----------
    label : str
        The model's name in the study.
    measured : dict of str to Measured
        Every metric that a question has a figure of.
    words : array of float, [questions]
        Words of the answer; NaN where there is none.
    cut : array of float, [questions]
        1 where the answer was cut at the most tokens allowed, 0 where it ended by itself, NaN where it is not known.
    base : str, optional
        The fingerprint of the base, whose tokens the loss counts.
    """

    label: str
    measured: dict[str, Measured]
    words: np.ndarray
    cut: np.ndarray
    base: str | None = None

    def values(self, metric: str) -> np.ndarray:
        """Return a metric's figure of every question, [questions]; NaN where there is none."""
        found = self.measured.get(metric)
        return np.full(len(self.words), np.nan) if found is None else found.values

    @property
    def answered(self) -> int:
        """Questions it has answered."""
        return int(np.isfinite(self.words).sum())

    @property
    def mean_words(self) -> float:
        """Mean words of an answer; NaN without answers."""
        return _mean(self.words)

    @property
    def cut_share(self) -> float:
        """Share of the answers that were cut, 0 to 1; NaN where it is not known."""
        return _mean(self.cut)


@dataclass(frozen=True)
class Scores:
    """What stored answers come to.

    Attributes
    ----------
    questions : list of Question
        The study's questions; every array of every model has one place for each.
    models : list of ModelScores
        The models, in the order they were asked for.
    notes : list of str
        What a reader must know to trust the figures, a sentence each.
    """

    questions: list[Question]
    models: list[ModelScores]
    notes: list[str] = field(default_factory=list)

    @property
    def metrics(self) -> list[Metric]:
        """The metrics that at least one model has."""
        return [m for m in METRICS.values() if any(m.name in model.measured for model in self.models)]

    def model(self, label: str) -> ModelScores:
        """Return one model's scores.

        Raises
        ------
        ShepherdError
            If it is not among them.
        """
        for model in self.models:
            if model.label == label:
                return model
        raise ShepherdError(
            f"There are no scores of '{label}'{nearest(label, [m.label for m in self.models])}."
        )

    def against(self, label: str) -> Scores:
        """Return every other model's paired differences to the model `label`."""
        reference = self.model(label)
        others = [m for m in self.models if m.label != label]
        return Scores(self.questions, [_difference(m, reference) for m in others], self.notes)


def scores(study: Study, models: Sequence[str] | None = None) -> Scores:
    """Score the answers that a study holds.

    Parameters
    ----------
    study : Study
        The study.
    models : sequence of str, optional
        The models, by label; all of them unless told.

    Raises
    ------
    ShepherdError
        If nobody has answered, or a model has not.
    """
    questions = study.questions()
    labels = study.models() if models is None else [study.model(name) for name in models]
    if not labels:
        raise ShepherdError(f"{study.path} holds no answers yet; ask a model first: shepherd answer.")
    labels = list(dict.fromkeys(labels))
    cards = [study.card(label) for label in labels]
    found = [_model_scores(card, questions, study.answers(card.label)) for card in cards]
    return Scores(questions, found, _notes(questions, found, cards))


def _model_scores(card: ModelCard, questions: Sequence[Question], answers: dict[str, Answer]) -> ModelScores:
    given = [answers.get(question.id) for question in questions]
    measured = {
        name: Measured(_of_texts(score, questions, given), np.ones(len(questions)))
        for name, score in OF_TEXTS.items()
    }
    weights = np.array([(a.loss_tokens or 0) if a else 0 for a in given], dtype=float)
    measured["loss"] = Measured(_figures(given, lambda answer: answer.loss), weights)
    return ModelScores(
        card.label,
        {name: figure for name, figure in measured.items() if figure.known.any()},
        _figures(given, lambda answer: len(bare_words(answer.answer))),
        _figures(given, lambda answer: None if answer.ended is None else not answer.ended),
        card.base_fingerprint,
    )


def _of_texts(
    score: Callable[[str, Sequence[str]], float],
    questions: Sequence[Question],
    answers: Sequence[Answer | None],
) -> np.ndarray:
    pairs = zip(questions, answers, strict=True)
    return np.array([score(a.answer, q.references) if a and q.references else np.nan for q, a in pairs])


def _figures(answers: Sequence[Answer | None], figure: Callable[[Answer], float | None]) -> np.ndarray:
    """Return a figure of every answer, NaN where there is none."""
    found = (None if answer is None else figure(answer) for answer in answers)
    return np.array([np.nan if value is None else value for value in found], dtype=float)


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan


def _difference(model: ModelScores, reference: ModelScores) -> ModelScores:
    shared = [name for name in model.measured if name in reference.measured]
    if model.base != reference.base:  # other bases, other tokens: losses per token have no difference
        shared = [name for name in shared if name != "loss"]
    differences = {name: model.measured[name].minus(reference.measured[name]) for name in shared}
    return ModelScores(model.label, differences, model.words - reference.words, model.cut - reference.cut)


def _notes(
    questions: Sequence[Question], models: Sequence[ModelScores], cards: Sequence[ModelCard]
) -> list[str]:
    notes = [
        f"{model.label} answered {model.answered} of {len(questions)} questions, and is scored on those."
        for model in models
        if model.answered < len(questions)
    ]
    without = sum(not question.references for question in questions)
    if without:
        notes.append(f"{without} of {len(questions)} questions have no reference and only count for length.")
    if len({card.base_fingerprint for card in cards if card.base_fingerprint}) > 1:
        notes.append("The base models differ: their losses compare only if their tokenizers are the same.")
    return notes
