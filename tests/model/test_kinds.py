"""Every kind of adapter: what it computes and leaves on disk is PEFT's; the engine's gradient is autograd's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from shepherd.data.encoding import EncodedExamples
from shepherd.errors import ShepherdError
from shepherd.evaluation.generation import greedy_answers
from shepherd.model.adapted import AdaptedModel
from shepherd.model.adapter import Adapter
from shepherd.model.base import Base
from shepherd.model.batch import collate, load
from shepherd.model.features import FeatureSettings, hidden_features
from shepherd.model.kinds import (
    IA3,
    AdapterKind,
    BitFit,
    Dora,
    Full,
    KSeed,
    Lora,
    LoraSB,
    PrefixTuning,
    PromptTuning,
    PTuning,
)
from shepherd.model.stack import AdapterStack
from shepherd.training import Engine, LocalTask, TransformersTraining
from shepherd.training.steps import StepBatch, add_gradients
from tiny_models import random_like

VOCABULARY = 97
VIRTUAL: dict[str, AdapterKind] = {
    "prompt": PromptTuning(tokens=3),
    "ptuning": PTuning(tokens=3, hidden=8),
    "prefix": PrefixTuning(tokens=3),
    "prefix by a network": PrefixTuning(tokens=3, init="random", projection=True, hidden=8),
}
OF_PEFT: dict[str, AdapterKind] = {
    "lora": Lora(rank=2),
    "lora on one layer": Lora(rank=2, layers=[1]),
    "lora on names in one layer": Lora(rank=2, targets=["q_proj"], layers=[0]),
    "dora": Dora(rank=2),
    "lora_sb": LoraSB(rank=4, directions="base"),
    "ia3": IA3(),
    "ia3 on names": IA3(targets=["q_proj", "up_proj"], feedforward=[]),
    **VIRTUAL,
}
OWN: dict[str, AdapterKind] = {
    "bitfit": BitFit(),
    "full": Full(),
    "norms": Full(only=["*norm*"]),
}
DIFFERENTIABLE = {**OF_PEFT, **OWN}
Adapted = Callable[[AdapterKind], AdaptedModel]


def base_model(**config: Any) -> LlamaForCausalLM:
    """Build the same random LLaMA, with biases, at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sizes = {
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "initializer_range": 0.2,
            "attention_bias": True,
        }
        model = LlamaForCausalLM(LlamaConfig(**{**sizes, **config}))
    model.config.use_cache = False
    return model.requires_grad_(False).eval()


@pytest.fixture
def adapted(tokenizer: Any) -> Adapted:
    """Adapt the same base anew; what is trained is away from its first values, so that every gradient counts."""

    def build(kind: AdapterKind, **config: Any) -> AdaptedModel:
        base = Base(base_model(**config), tokenizer, torch.device("cpu"), "tiny", "")
        model = AdaptedModel(base, kind, seed=0)
        model.write(model.initial + random_like(model.initial, seed=1))
        return model

    return build


@pytest.fixture
def examples() -> EncodedExamples:
    """Six examples of 9 to 14 tokens; the first four begin alike."""
    lengths = np.array([9, 14, 12, 10, 11, 13])
    tokens = np.random.default_rng(2).integers(3, VOCABULARY, lengths.sum())
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    for start in offsets[:4]:
        tokens[start : start + 5] = np.arange(5) + 3
    return EncodedExamples(tokens, offsets, np.array([6, 7, 6, 9, 1, 8]), 0, "")


def plain_losses(model: AdaptedModel, examples: EncodedExamples) -> list[torch.Tensor]:
    """Take every example alone through PEFT's own forward, and the base's."""
    found = []
    for row in range(len(examples)):
        tokens, prompt = examples.example(row)
        ids = torch.from_numpy(np.asarray(tokens))
        logits = model.peft(input_ids=ids[None]).logits[0, -len(ids) :].float()
        found.append(
            torch.nn.functional.cross_entropy(logits[prompt - 1 : -1], ids[prompt:], reduction="none")
        )
    return found


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@pytest.mark.parametrize("prefix_cost", [None, 0])
def test_the_engines_gradient_is_that_of_a_naive_forward(
    adapted: Adapted, examples: EncodedExamples, name: str, prefix_cost: int | None
) -> None:
    model = adapted(DIFFERENTIABLE[name])
    assert model.prefix_cost is not None
    losses = torch.cat(plain_losses(model, examples))
    names = model.layout.names
    gradients = torch.autograd.grad(losses.mean(), [model.parameters[one] for one in names])
    expected = torch.cat([gradient.reshape(-1) for gradient in gradients])
    batch = StepBatch(load(examples, range(len(examples))), 0, 0)
    stack = AdapterStack(model, [model.read()])
    stack.gradients.zero_()
    with stack.carried(1) as carried:
        found = add_gradients(model, carried, [batch], 64, prefix_cost)
    assert float(found) == pytest.approx(float(losses.detach().sum()), rel=1e-5)
    assert float((model.gradient - expected).norm()) < 1e-4 * float(expected.norm())


@pytest.mark.parametrize("name", ["lora_sb", "prompt", "prefix", "ia3", "full"])
def test_what_is_forgotten_and_computed_again_gives_the_same_gradient(
    adapted: Adapted, examples: EncodedExamples, name: str
) -> None:
    model, batch = adapted(DIFFERENTIABLE[name]), collate(load(examples, range(6)))
    expected = torch.autograd.grad(model.token_losses(batch).sum(), model.alone.leaves)
    with model.layers.run(recomputed=True):
        found = torch.autograd.grad(model.token_losses(batch).sum(), model.alone.leaves)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["lora_sb", "prompt", "ptuning", "prefix", "full"])
def test_lanes_change_no_bit(
    adapted: Adapted, examples: EncodedExamples, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, ends = LocalTask(examples, np.arange(6), 3, 0, 1, 0), []
    for lanes in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda lanes=lanes: lanes)
        model = adapted(DIFFERENTIABLE[name])
        assert model.lanes == lanes
        Engine(lr=1e-2, batch_size=3, micro_tokens=16).train(model, task)
        ends.append(model.read().to_bytes())
    assert ends[0] == ends[1]


@pytest.mark.parametrize("name", OF_PEFT)
def test_peft_loads_what_is_saved_and_saves_what_is_loaded(
    adapted: Adapted, examples: EncodedExamples, tmp_path: Path, name: str
) -> None:
    model = adapted(OF_PEFT[name])
    trained = model.read()
    trained.save(tmp_path / "ours", model.peft_config(), model.exported(trained))
    tokens = torch.tensor([[5, 8, 30, 70]])
    with torch.no_grad():
        expected = model.peft(input_ids=tokens).logits
        theirs = peft.PeftModel.from_pretrained(base_model(), str(tmp_path / "ours"))
        torch.testing.assert_close(theirs(input_ids=tokens).logits, expected, rtol=1e-5, atol=1e-5)
    assert Adapter.load(tmp_path / "ours", model.initial).to_bytes() == trained.to_bytes()
    if model.exported(trained) is None:
        model.peft.save_pretrained(tmp_path / "theirs", save_embedding_layers=False)
        assert Adapter.load(tmp_path / "theirs", model.initial).to_bytes() == trained.to_bytes()


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_an_untuned_and_an_unloaded_model_are_the_base(
    adapted: Adapted, examples: EncodedExamples, name: str
) -> None:
    model, tokens = adapted(DIFFERENTIABLE[name]), torch.tensor([[5, 8, 30, 70]])
    batch = collate(load(examples, range(3)))
    plain = AdaptedModel(Base(base_model(), None, torch.device("cpu"), "tiny", ""), Lora(), 0)
    with torch.no_grad():
        expected, tuned = plain.token_losses(batch), model.token_losses(batch)
        with model.untuned():
            torch.testing.assert_close(model.token_losses(batch), expected, rtol=1e-6, atol=1e-6)
        assert torch.equal(model.token_losses(batch), tuned)
        assert not torch.allclose(tuned, expected, atol=1e-3)
        unloaded = model.unload().model
        torch.testing.assert_close(unloaded(tokens).logits, base_model()(tokens).logits, rtol=1e-6, atol=1e-6)
    assert not any(parameter.requires_grad for parameter in unloaded.parameters())


@pytest.mark.parametrize("name", [*VIRTUAL, "ia3", "dora", "lora_sb", "full"])
def test_answers_side_by_side_are_those_of_one_token_after_another(adapted: Adapted, name: str) -> None:
    model = adapted(DIFFERENTIABLE[name])
    prompts = [[5, 8, 30], [70, 4], [9, 9, 12, 60, 33]]
    expected = []
    for prompt in prompts:
        said = list(prompt)
        with torch.no_grad():
            for _ in range(6):
                said.append(int(model.peft(input_ids=torch.tensor([said])).logits[0, -1].argmax()))
                if said[-1] == model.tokenizer.eos_token_id:
                    break
        expected.append(model.tokenizer.decode(said[len(prompt) :], skip_special_tokens=True).strip())
    assert greedy_answers(model, prompts, 6) == expected
    with model.untuned():
        assert greedy_answers(model, prompts, 6) != expected


@pytest.mark.parametrize("name", VIRTUAL)
@pytest.mark.parametrize("token", ["last", "mean"])
def test_virtual_tokens_are_no_part_of_an_example(
    adapted: Adapted, examples: EncodedExamples, name: str, token: Any
) -> None:
    model, rows = adapted(VIRTUAL[name]), load(examples, range(len(examples)))
    settings = FeatureSettings(token=token)
    shared = hidden_features(model, rows, settings)
    model.__dict__["prefix_cost"] = None
    np.testing.assert_allclose(hidden_features(model, rows, settings), shared, atol=1e-5)
    with torch.no_grad():
        ids = torch.from_numpy(np.asarray(rows[0][0]))
        states = model.peft(input_ids=ids[None], output_hidden_states=True).hidden_states
    whole = []
    for state in states:
        own = state[0, -len(ids) :]
        vector = own[-1] if token == "last" else own.sum(0)
        whole.append(vector / vector.norm() / len(states) ** 0.5)
    np.testing.assert_allclose(shared[0], torch.cat(whole).numpy(), atol=1e-5)


@pytest.mark.parametrize("name", ["prompt", "ptuning", "prefix", "ia3", "dora", "lora_sb", "full", "bitfit"])
def test_trainer_and_engine_take_the_same_steps(
    adapted: Adapted, examples: EncodedExamples, name: str
) -> None:
    settings = {"lr": 1e-2, "batch_size": 2, "optimizer": "sgd"}
    task, kind = LocalTask(examples, np.arange(6), 3, 0, 1, 0), DIFFERENTIABLE[name]
    ends = []
    for training in (Engine(**settings), TransformersTraining(**settings)):
        model = adapted(kind)
        start = model.read()
        training.train(model, task)
        ends.append(model.read() - start)
    assert (ends[0] - ends[1]).norm() < 1e-3 * ends[0].norm()


def test_kinds_say_who_computes(adapted: Adapted) -> None:
    said = {name: Engine().chosen(adapted(DIFFERENTIABLE[name]))["forward"] for name in DIFFERENTIABLE}
    assert said["lora"] == said["lora on one layer"] == said["lora_sb"] == "fused LoRA"
    assert said["dora"] == said["ia3"] == "peft"
    assert said["prefix"] == said["prompt"] == "virtual tokens in the backbone"
    assert said["full"] == said["bitfit"] == "base"
    assert not adapted(Dora()).carries_stacks


def test_a_prompt_may_begin_as_a_text(tokenizer: Any) -> None:
    base = Base(base_model(vocab_size=4096), tokenizer, torch.device("cpu"), "tiny", "")
    found = AdaptedModel(base, PromptTuning(tokens=5, text="a few words"), 0).initial["prompt_embeddings"]
    words = tokenizer("a few words", add_special_tokens=False)["input_ids"]
    torch.testing.assert_close(found, base.model.get_input_embeddings().weight[(words * 5)[:5]])


def test_layers_are_those_that_are_named(adapted: Adapted) -> None:
    names = adapted(Lora(rank=2, layers=[1])).layout.names
    assert len(names) == 14
    assert all(".layers.1." in name for name in names)


@pytest.mark.parametrize(
    ("kind", "config", "said"),
    [
        (
            BitFit(),
            {"attention_bias": False},
            r"bitfit trains biases, and 'tiny' has none; .*norm.*ia3 or lora\.",
        ),
        (Full(only=["*nothing*"]), {}, r"adapter.only names '\*nothing\*', and 'tiny' has no such weight"),
        (Lora(layers=[2]), {}, r"adapter.layers names layer 2, and 'tiny' has 2, numbered from 0 to 1\."),
        (
            IA3(targets=["attention"], feedforward=[]),
            {},
            r"Its linear layers are down_proj, .*Change adapter.targets",
        ),
        (Full(), {"dtype": torch.bfloat16}, r"is held in bfloat16; set model.dtype=float32\."),
    ],
)
def test_a_kind_that_does_not_fit_is_one_sentence(
    tokenizer: Any, kind: AdapterKind, config: Any, said: str
) -> None:
    dtype = config.pop("dtype", torch.float32)
    base = Base(base_model(**config).to(dtype), tokenizer, torch.device("cpu"), "tiny", "")
    with pytest.raises(ShepherdError, match=said):
        AdaptedModel(base, kind, 0)


def test_virtual_tokens_compute_in_the_bases_dtype(tokenizer: Any, examples: EncodedExamples) -> None:
    for kind in VIRTUAL.values():
        base = Base(base_model().to(torch.bfloat16), tokenizer, torch.device("cpu"), "tiny", "")
        model = AdaptedModel(base, kind, 0)
        losses = model.token_losses(collate(load(examples, range(3))))
        torch.testing.assert_close(losses, torch.cat(plain_losses(model, examples)[:3]), rtol=0.05, atol=0.05)


def test_a_pool_of_zeros_is_the_base(adapted: Adapted, examples: EncodedExamples) -> None:
    model, batch = adapted(KSeed(seeds=4)), collate(load(examples, range(3)))
    with torch.no_grad():
        moved = model.token_losses(batch)
        with model.untuned():
            untuned = model.token_losses(batch)
        assert torch.equal(model.token_losses(batch), moved)
        assert not torch.equal(untuned, moved)
        tokens = torch.tensor([[5, 8, 30, 70]])
        assert torch.equal(model.unload().model(tokens).logits, base_model()(tokens).logits)
