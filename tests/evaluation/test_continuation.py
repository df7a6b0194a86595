"""Our loop against transformers' own, on architectures that differ in positions, caches and windows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import peft
import pytest
import torch
import transformers

from shepherd.evaluation.continuation import continued
from shepherd.evaluation.decoding import DecodingSettings
from shepherd.evaluation.generation import generate

SMALL = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "pad_token_id": 0,
}
LLAMA_LIKE = {**SMALL, "intermediate_size": 48, "num_key_value_heads": 1}
CONFIGS: dict[str, Any] = {
    "llama": transformers.LlamaConfig(**LLAMA_LIKE),
    "sliding window": transformers.MistralConfig(**LLAMA_LIKE, sliding_window=6),
    "gpt2": transformers.GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=2),
    "alibi": transformers.BloomConfig(vocab_size=64, hidden_size=32, n_layer=2, n_head=2),
    "rotary in part": transformers.GPTNeoXConfig(**SMALL, intermediate_size=48),
    "mixed windows": transformers.Gemma2Config(**LLAMA_LIKE, head_dim=16, sliding_window=4),
}
PROMPTS = [[5, 9, 11], [7], [3, 8, 2, 6, 12, 40, 33, 21], [4, 4, 9, 30, 31]]
NAMES = ["a", "b", "c", "d"]


class Words:
    """Stands in for a tokenizer: a token is its number."""

    pad_token_id, eos_token_id = 0, 1

    def batch_decode(self, rows: list[list[int]], skip_special_tokens: bool) -> list[str]:
        return [" ".join(map(str, row)) for row in rows]


def model_of(config: Any, kind: peft.PeftConfig | None = None) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        base = transformers.AutoModelForCausalLM.from_config(config).eval()
        for parameter in base.parameters():  # so that tokens differ
            parameter.data.mul_(4)
        adapted = peft.get_peft_model(
            base, kind or peft.IA3Config(task_type="CAUSAL_LM", **_targets(base))
        ).eval()
    base.generation_config.eos_token_id = 1
    return SimpleNamespace(peft=adapted, tokenizer=Words(), device=torch.device("cpu"))


def _targets(base: Any) -> dict[str, list[str]]:
    known = ("q_proj", "c_attn", "query_key_value")
    names = [name for name, _ in base.named_modules() if name.endswith(known)]
    return {"target_modules": names, "feedforward_modules": []}


def ours(model: Any, prompts: list[list[int]], names: list[str], **settings: Any) -> list[list[int]]:
    answers: list[list[int]] = [[] for _ in prompts]
    for said in continued(model, prompts, names, DecodingSettings.model_validate(settings)):
        for row, token in said.items():
            answers[row].append(token)
    return answers


def theirs(model: Any, prompt: list[int], count: int) -> list[int]:
    ids = torch.tensor([prompt])
    output = model.peft.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=count,
        do_sample=False,
        pad_token_id=0,
    )
    return output[0, len(prompt) :].tolist()


@pytest.mark.parametrize("name", CONFIGS)
def test_greedy_is_what_generate_gives_each_prompt_alone(name: str) -> None:
    model = model_of(CONFIGS[name])
    expected = [theirs(model, prompt, 20) for prompt in PROMPTS]
    assert ours(model, PROMPTS, NAMES, max_new_tokens=20) == expected
    assert len({tuple(answer) for answer in expected}) > 1


def test_answers_that_end_leave_and_the_others_go_on() -> None:
    model = model_of(CONFIGS["llama"])
    free = [theirs(model, prompt, 30) for prompt in PROMPTS]
    # Ends are tokens that some answers say soon, and others late or never.
    ends = [free[0][2], free[2][5]]
    model.peft.generation_config.eos_token_id = ends
    expected = [theirs(model, prompt, 30) for prompt in PROMPTS]
    assert ours(model, PROMPTS, NAMES, max_new_tokens=30) == expected
    assert len({len(answer) for answer in expected}) > 1


def test_more_tokens_than_there_was_room_for() -> None:
    model = model_of(transformers.LlamaConfig(**LLAMA_LIKE))
    assert ours(model, PROMPTS[:2], NAMES, max_new_tokens=150) == [theirs(model, p, 150) for p in PROMPTS[:2]]


@pytest.mark.parametrize("name", ["llama", "sliding window"])
def test_what_is_drawn_depends_neither_on_the_batch_nor_on_the_order(name: str) -> None:
    model = model_of(CONFIGS[name])
    settings = DecodingSettings(
        max_new_tokens=24, temperature=0.9, top_p=0.95, top_k=40, repetition_penalty=1.3, seed=3
    )
    prompts = [*PROMPTS, *([n, 20 + n] for n in range(2, 6))]
    names = [f"question {n}" for n in range(8)]
    whole = dict(generate(model, prompts, names, settings, batch_size=8))
    alone = dict(generate(model, prompts, names, settings, batch_size=1))
    turned = dict(generate(model, prompts[::-1], names[::-1], settings, batch_size=3))
    assert whole == alone == {7 - place: answer for place, answer in turned.items()}
    other = dict(generate(model, prompts, names, settings.model_copy(update={"seed": 4}), 8))
    assert other != whole


def test_virtual_tokens_go_one_prompt_at_a_time_and_as_without_a_cache() -> None:
    model = model_of(CONFIGS["llama"], peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3))
    found = dict(generate(model, PROMPTS, NAMES, DecodingSettings(max_new_tokens=6), batch_size=4))
    for place, prompt in enumerate(PROMPTS):
        tokens = list(prompt)
        with torch.no_grad():
            virtual = model.peft.get_prompt(batch_size=1)
            base = model.peft.get_base_model()
            while len(tokens) < len(prompt) + 6 and tokens[-1] != 1:
                words = base.get_input_embeddings()(torch.tensor([tokens]))
                logits = base(inputs_embeds=torch.cat([virtual, words], dim=1)).logits
                tokens.append(int(logits[0, -1].argmax()))
        assert found[place].text == " ".join(map(str, tokens[len(prompt) :]))


def test_tokens_come_one_by_one_and_can_be_stopped() -> None:
    model = model_of(CONFIGS["llama"])
    steps = continued(model, [PROMPTS[0]], ["a"], DecodingSettings(max_new_tokens=1000))
    first = [next(steps)[0] for _ in range(3)]
    steps.close()
    assert first == theirs(model, PROMPTS[0], 3)
