"""Answers, many prompts at a time: greedy, or drawn."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from shepherd.errors import ShepherdError
from shepherd.evaluation.continuation import Speaking, can_pad, continued, end_tokens
from shepherd.evaluation.decoding import DecodingSettings
from shepherd.model.lanes import in_lanes

#: Answers at once unless told, by kind of device: on a CPU the steps of small models cost more than their arithmetic.
_ANSWERS = {"cpu": 64}
#: Tokens of padded prompts in a batch, at most (but one prompt's), by kind of device.
_MOST_TOKENS = {"cpu": 16384}


@dataclass(frozen=True)
class Generated:
    """An answer as it was generated.

    Attributes
    ----------
    text : str
        Without special tokens and without what surrounds it.
    tokens : int
        Tokens generated, the end of sequence included.
    ended : bool
        Whether the model ended it by itself.
    """

    text: str
    tokens: int
    ended: bool


def greedy_answers(
    model: Speaking, prompts: Sequence[Sequence[int]], max_new_tokens: int, batch_size: int = 32
) -> list[str]:
    """Return the greedy continuation of every prompt, as text, up to the end of sequence.

    Parameters
    ----------
    model : Speaking
        The model with the adapter to use.
    prompts : sequence of sequence of int
        Token ids, each ending where the answer begins.
    max_new_tokens : int
        Longest answer.
    batch_size : int
        Prompts at once, at most.
    """
    decoding = DecodingSettings(max_new_tokens=max_new_tokens)
    names = [str(place) for place in range(len(prompts))]
    found = dict(generate(model, prompts, names, decoding, batch_size))
    return [found[place].text for place in range(len(prompts))]


def generate(
    model: Speaking,
    prompts: Sequence[Sequence[int]],
    names: Sequence[str],
    decoding: DecodingSettings,
    batch_size: int | None = None,
) -> Iterator[tuple[int, Generated]]:
    """Yield (the prompt's place, its answer), batch by batch; prompts of like length share a batch, longest first.

    Parameters
    ----------
    model : Speaking
        The model, with the adapter to use in it. On a CPU, one that has `lanes` computes as many batches at once.
    prompts : sequence of sequence of int
        Token ids, each ending where the answer begins.
    names : sequence of str
        The questions' names, which draws are keyed by.
    decoding : DecodingSettings
        How tokens are chosen.
    batch_size : int, optional
        Prompts at once, at most; unless told, what suits the device. It changes no answer, but for rounding.

    Raises
    ------
    ShepherdError
        If the device runs out of memory.
    """
    size = batch_size or _ANSWERS.get(model.device.type, 32)
    batches = list(_batches(model, [len(prompt) for prompt in prompts], size))
    answer = partial(_answer_batch, model, prompts, names, decoding)
    try:
        for places, answers in zip(
            batches, in_lanes(answer, batches, getattr(model, "lanes", 1)), strict=True
        ):
            yield from zip(places, answers, strict=True)
    except torch.OutOfMemoryError as error:
        raise ShepherdError(
            f"The {model.device.type} ran out of memory with {size} answers at once; lower the batch size."
        ) from error


def _batches(model: Speaking, lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    most_tokens = _MOST_TOKENS.get(model.device.type, sys.maxsize)
    batch_size = batch_size if can_pad(model) else 1
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    start = 0
    while start < len(order):
        size = max(1, min(batch_size, most_tokens // lengths[order[start]]))
        yield order[start : start + size]
        start += size


def _answer_batch(
    model: Speaking,
    prompts: Sequence[Sequence[int]],
    names: Sequence[str],
    decoding: DecodingSettings,
    places: Sequence[int],
) -> list[Generated]:
    answers: list[list[int]] = [[] for _ in places]
    for said in continued(model, [prompts[p] for p in places], [names[p] for p in places], decoding):
        for row, token in said.items():
            answers[row].append(token)
    ends = set(end_tokens(model))
    ended = [tokens[-1] in ends for tokens in answers]
    spoken = [tokens[:-1] if end else tokens for tokens, end in zip(answers, ended, strict=True)]
    texts = model.tokenizer.batch_decode(spoken, skip_special_tokens=True)
    return [
        Generated(text.strip(), len(tokens), end)
        for text, tokens, end in zip(texts, answers, ended, strict=True)
    ]
