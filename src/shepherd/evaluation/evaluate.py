"""Evaluation in the loop: one global line of metrics, and the answers it rests on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from shepherd.data.encoding import EncodedExamples
from shepherd.data.instructions import Instructions
from shepherd.evaluation.generation import greedy_answers
from shepherd.evaluation.preferences import HeldOutPairs
from shepherd.evaluation.rouge import rouge_l
from shepherd.metrics import global_line
from shepherd.model.adapter import Adapter
from shepherd.model.batch import load
from shepherd.model.losses import example_losses
from shepherd.settings import Settings
from shepherd.tree import Tree

if TYPE_CHECKING:
    from shepherd.model.adapted import AdaptedModel

Metric = Literal["loss", "rouge_l"]


class EvaluationConfig(Settings):
    """When and how the global adapter is evaluated on the hold-out.

    Attributes
    ----------
    every : int
        Rounds between evaluations; before the first round and after the last there is always one.
    metrics : list of str
        ``loss`` is always measured; ``rouge_l`` asks for greedy answers too.
    rouge_every : int, optional
        Rounds between evaluations with ROUGE-L, which costs far more than the loss; ``every`` unless told.
    rouge_untuned : bool
        Measure ROUGE-L before the first round too; baselines share the federated run's untuned base.
    max_new_tokens : int
        Longest answer.
    answers : int
        Held-out questions whose answers the report shows, when ROUGE-L is not asked for.
    batch_size : int
        Prompts generated at once.
    batch_tokens : int, optional
        Padded tokens in a micro-batch of the loss; unless told, as many as in training.
    """

    every: int = Field(1, gt=0)
    metrics: list[Metric] = ["loss"]
    rouge_every: int | None = Field(None, gt=0)
    rouge_untuned: bool = True
    max_new_tokens: int = Field(128, gt=0)
    answers: int = Field(8, ge=0)
    batch_size: int = Field(32, gt=0)
    batch_tokens: int | None = Field(None, gt=0)

    def due(self, round: int, rounds: int) -> bool:
        """Say whether the adapter after `round` of `rounds` rounds is evaluated."""
        return round in (0, rounds) or round % self.every == 0 or self.rouge_due(round, rounds)

    def rouge_due(self, round: int, rounds: int) -> bool:
        """Say whether this evaluation measures ROUGE-L too."""
        if "rouge_l" not in self.metrics:
            return False
        if round == 0 < rounds:
            return self.rouge_untuned
        return round == rounds or round % (self.rouge_every or self.every) == 0


@dataclass(frozen=True)
class Evaluated:
    """A global line of metrics.jsonl, and the answers, one object a question."""

    line: dict[str, Any]
    answers: list[dict[str, Any]]


class Evaluator:
    """Evaluates adapters on one hold-out.

    Parameters
    ----------
    config : EvaluationConfig
        What to measure.
    instructions : Instructions
        The held-out instructions.
    examples : EncodedExamples
        The same, encoded, row by row.
    prompts : list of list of int
        The same, as prompts to be answered.
    """

    def __init__(
        self,
        config: EvaluationConfig,
        instructions: Instructions,
        examples: EncodedExamples,
        prompts: list[list[int]],
    ) -> None:
        self.config = config
        self.instructions = instructions
        self.examples = examples
        self.prompts = prompts
        self.categories = instructions.categories()
        self.pairs = None if examples.rejected is None else HeldOutPairs(examples, config.batch_tokens)

    def evaluate(self, model: AdaptedModel, adapter: Adapter, round: int, rounds: int) -> Evaluated:
        """Measure `adapter` as it is after `round` rounds."""
        began = time.perf_counter()
        model.write(adapter)
        loaded = load(self.examples, range(len(self.examples)))
        losses = example_losses(model, loaded, self.config.batch_tokens)
        figures = {
            "loss_by_category": losses.by_group(self.categories),
            **(self.pairs.figures(model, losses) if self.pairs else {}),
        }
        line = global_line(round, losses.mean, len(self.examples), int(losses.labels.sum()), figures)
        answers: list[dict[str, Any]] = []
        if self.config.rouge_due(round, rounds):
            answers = self.answer(model, np.arange(len(self.examples)), round)
            scores = np.array([answer["rouge_l"] for answer in answers])
            line["rouge_l"] = float(scores.mean())
            line["rouge_l_by_category"] = {
                str(c): float(scores[self.categories == c].mean()) for c in np.unique(self.categories)
            }
        elif round == rounds:
            answers = self.answer(model, self._shown(), round)
        line["machine"] = {"seconds": time.perf_counter() - began}
        return Evaluated(line, answers)

    def answer(self, model: AdaptedModel, rows: np.ndarray, round: int) -> list[dict[str, Any]]:
        """Answer the questions at `rows` greedily with the adapter that is in `model`, and score them."""
        if len(rows) == 0:
            return []
        texts = greedy_answers(
            model, [self.prompts[row] for row in rows], self.config.max_new_tokens, self.config.batch_size
        )
        asked = self.instructions.select(rows).table
        return [
            {
                "round": round,
                "row": int(row),
                "category": str(self.categories[row]),
                "instruction": question["instruction"],
                "context": question["context"],
                "references": list(question["responses"]),
                "answer": text,
                "rouge_l": rouge_l(text, question["responses"]),
            }
            for row, question, text in zip(rows, asked, texts, strict=True)
        ]

    def _shown(self) -> np.ndarray:
        """Return a few rows spread over the categories, the same in every run on this hold-out."""
        turns = np.zeros(len(self.categories), dtype=int)
        for category in np.unique(self.categories):
            members = np.flatnonzero(self.categories == category)
            turns[members] = np.arange(len(members))
        return np.sort(np.argsort(turns, kind="stable")[: self.config.answers])


@dataclass(frozen=True)
class DueEvaluation:
    """What the round loop asks after every round: evaluates where it is due, and keeps the answers.

    Attributes
    ----------
    evaluator : Evaluator
        Knows the hold-out, and how often it is due.
    model : AdaptedModel
        The base.
    rounds : int
        The run's.
    keep : callable
        Given the answers, where there are any.
    """

    evaluator: Evaluator
    model: AdaptedModel
    rounds: int
    keep: Callable[[list[dict[str, Any]]], object]

    def __call__(self, adapter: Adapter, round: int, residual: Tree) -> dict[str, Any] | None:
        """Return the global line of metrics of `adapter` after `round` rounds; None where none is due.

        `residual` is what is added to the base's weights; see `shepherd.model.residual`.
        """
        if not self.evaluator.config.due(round, self.rounds):
            return None
        self.model.rest_on(residual)
        evaluated = self.evaluator.evaluate(self.model, adapter, round, self.rounds)
        if evaluated.answers:
            self.keep(evaluated.answers)
        return evaluated.line
