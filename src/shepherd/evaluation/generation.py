"""Greedy answers, many prompts at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import GenerationConfig

    from shepherd.model.adapted import AdaptedModel


@torch.inference_mode()
def greedy_answers(
    model: AdaptedModel, prompts: Sequence[Sequence[int]], max_new_tokens: int, batch_size: int = 32
) -> list[str]:
    """Return the greedy continuation of every prompt, as text, up to the end of sequence.

    Parameters
    ----------
    model : AdaptedModel
        The model with the adapter to use.
    prompts : sequence of sequence of int
        Token ids, each ending where the answer begins.
    max_new_tokens : int
        Longest answer.
    batch_size : int
        Prompts at once; prompts of like length share a batch.
    """
    settings = _plain_greedy(model, max_new_tokens)
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    answers = [""] * len(prompts)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        texts = _answer_batch(model, [prompts[i] for i in chosen], settings)
        for index, text in zip(chosen, texts, strict=True):
            answers[index] = text
    return answers


def _plain_greedy(model: AdaptedModel, max_new_tokens: int) -> GenerationConfig:
    """Return settings that leave nothing to the base: its own penalties would make answers incomparable."""
    from transformers import GenerationConfig

    ends = model.peft.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    return GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,
        num_beams=1,
        use_cache=True,
        pad_token_id=model.tokenizer.pad_token_id,
        eos_token_id=sorted({model.tokenizer.eos_token_id, *(end for end in ends if end is not None)}),
    )


def _answer_batch(model: AdaptedModel, prompts: list[Sequence[int]], settings: GenerationConfig) -> list[str]:
    tokenizer = model.tokenizer
    width = max(map(len, prompts))
    # Generation continues at the right edge, so prompts are padded on the left and the padding masked.
    rows = [[tokenizer.pad_token_id] * (width - len(p)) + list(p) for p in prompts]
    masks = [[0] * (width - len(p)) + [1] * len(p) for p in prompts]
    own = model.peft.generation_config
    # What is not set is filled in from the model's own settings, so they step aside for a moment.
    model.peft.generation_config = settings
    try:
        output = model.peft.generate(
            input_ids=torch.tensor(rows, device=model.device),
            attention_mask=torch.tensor(masks, device=model.device),
            generation_config=settings,
        )
    finally:
        model.peft.generation_config = own
    texts = tokenizer.batch_decode(output[:, width:], skip_special_tokens=True)
    return [text.strip() for text in texts]
