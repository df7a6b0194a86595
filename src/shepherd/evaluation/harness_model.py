"""A tuned model as the lm-evaluation-harness drives it, with tokens as in training.

This file imports lm-eval, which takes seconds, and is imported only where a harness runs. `HarnessModel` encodes as
lm-eval does, but begins every text with the beginning-of-sequence token wherever training does. `PromptedModel`, for
prompts of the run's own template, also tokenises prompt and answer apart, and answers as `shepherd answer` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from shepherd.evaluation.generation import greedy_answers
from shepherd.study.respondents import LocalRespondent


class HarnessModel(HFLM):
    """A causal model with its adapter in it.

    Parameters
    ----------
    asked : LocalRespondent
        The model, with its own weights in it, and its prompt.
    batch_size : int
        Sequences at once.

    Attributes
    ----------
    cut : int
        Requests that were longer than the model can read and lost their beginning.
    """

    def __init__(self, asked: LocalRespondent, batch_size: int) -> None:
        super().__init__(pretrained=asked.model.peft, tokenizer=asked.model.tokenizer, batch_size=batch_size)
        self.asked = asked
        self.cut = 0
        self._begins = True

    def tok_encode(
        self,
        string: str,
        add_special_tokens: bool | None = None,
        left_truncate_len: int | None = None,
        **_: Any,
    ) -> list[int]:
        """Return a text's tokens, behind the beginning of sequence unless told otherwise or it is there already."""
        tokens = self.tokenizer.encode(string, add_special_tokens=False)
        return self._begun(tokens) if add_special_tokens is not False else tokens

    def tok_batch_encode(
        self,
        strings: list[str],
        padding_side: str = "left",
        left_truncate_len: int | None = None,
        truncation: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return prompts as padded tokens and their mask, [prompts, tokens]; one too long loses its beginning."""
        rows = [self.tok_encode(string) for string in strings]
        if left_truncate_len:
            self.cut += sum(len(row) > left_truncate_len for row in rows)
            rows = [row[-left_truncate_len:] for row in rows]
        width, pad = max(map(len, rows)), self.tokenizer.pad_token_id
        tokens = [[pad] * (width - len(row)) + row for row in rows]
        mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
        return torch.tensor(tokens), torch.tensor(mask)

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Return the log-likelihood of whole texts; lm-eval itself puts the beginning before them."""
        self._begins = False
        try:
            return super().loglikelihood_rolling(requests, disable_tqdm)
        finally:
            self._begins = True

    def _begun(self, tokens: list[int]) -> list[int]:
        begin = self.tokenizer.bos_token_id
        if not self._begins or begin is None or tokens[:1] == [begin]:
            return tokens
        return [begin, *tokens]

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        return self._counted(*super()._encode_pair(context, continuation))

    def _counted(self, context: list[int], continuation: list[int]) -> tuple[list[int], list[int]]:
        self.cut += len(context) + len(continuation) > self.max_length + 1
        return context, continuation


class PromptedModel(HarnessModel):
    """The same, asked in the template it was trained with."""

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        return self._counted(self._prompt(context), self._tokens(continuation, special_tokens=False))

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Return greedy answers."""
        longest = requests[0].args[1]["max_gen_toks"]  # one task at a time, so the same for all
        room = self.max_length - longest
        prompts = [self._prompt(request.args[0]) for request in requests]
        self.cut += sum(len(prompt) > room for prompt in prompts)
        return greedy_answers(
            self.asked.model, [prompt[-room:] for prompt in prompts], longest, self.batch_size
        )

    def _prompt(self, text: str) -> list[int]:
        return self._begun(self._tokens(text, self.asked.prompt.special_tokens))

    def _tokens(self, text: str, special_tokens: bool) -> list[int]:
        # As in training: what looks like a special token in somebody's text is none.
        found: Sequence[int] = self.tokenizer(
            text, add_special_tokens=False, split_special_tokens=not special_tokens, verbose=False
        )["input_ids"]
        return list(found)


@contextmanager
def own_generation_settings_aside(model: Any) -> Iterator[None]:
    """Keep a base's own penalties and temperatures out of what tasks ask for, but for its end-of-sequence tokens."""
    from transformers import GenerationConfig

    own = model.generation_config
    model.generation_config = GenerationConfig(eos_token_id=own.eos_token_id, pad_token_id=own.pad_token_id)
    try:
        yield
    finally:
        model.generation_config = own
