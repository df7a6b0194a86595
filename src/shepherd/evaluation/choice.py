"""The next token: the most likely one, or one drawn by addressed noise.

Drawing from a softmax is taking the largest of logit plus Gumbel noise (the Gumbel-max trick). The noise of a question
is keyed by the seed and the question's name, so that its answer is the same whatever it is answered beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from shepherd.evaluation.decoding import DecodingSettings
from shepherd.randomness import generator

if TYPE_CHECKING:
    from transformers import LogitsProcessorList


class TokenChoice:
    """Chooses the next token of several answers.

    Parameters
    ----------
    decoding : DecodingSettings
        How.
    names : sequence of str
        The answers' names, which their noise is keyed by.
    """

    def __init__(self, decoding: DecodingSettings, names: Sequence[str]) -> None:
        self._processors = _processors(decoding)
        self._draws = [] if decoding.greedy else [generator(decoding.seed, "sampling", n) for n in names]

    def __call__(self, history: torch.Tensor, logits: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        """Return the chosen tokens, [answers].

        Parameters
        ----------
        history : LongTensor, [answers, length]
            What was said before, prompts included; it holds no token but those of its own row.
        logits : Tensor, [answers, vocabulary]
            The model's.
        rows : sequence of int
            Which of the names each answer has. Each takes the next of its own noise.
        """
        scores = self._processors(history, logits.float())
        if self._draws:
            noise = np.stack([self._draws[row].gumbel(size=scores.shape[-1]) for row in rows])
            scores = scores + torch.from_numpy(noise).to(scores)
        return scores.argmax(-1)


def _processors(decoding: DecodingSettings) -> LogitsProcessorList:
    """Return what changes the logits, in the order transformers has them."""
    from transformers import (
        LogitsProcessorList,
        RepetitionPenaltyLogitsProcessor,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    found = LogitsProcessorList()
    if decoding.repetition_penalty != 1:
        found.append(RepetitionPenaltyLogitsProcessor(decoding.repetition_penalty))
    if decoding.greedy:
        return found
    found.append(TemperatureLogitsWarper(decoding.temperature))
    if decoding.top_k is not None:
        found.append(TopKLogitsWarper(decoding.top_k))
    if decoding.top_p is not None:
        found.append(TopPLogitsWarper(decoding.top_p))
    return found
