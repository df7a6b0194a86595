from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, GraniteConfig, GraniteForCausalLM

from shepherd.data.encoding import EncodedExamples
from shepherd.errors import ShepherdError
from shepherd.model.adapted import AdaptedModel
from shepherd.model.base import Base, BaseModelConfig, load_base
from shepherd.model.batch import collate, load
from shepherd.model.kinds import Lora
from tiny_models import random_like

Tiny = Callable[..., AdaptedModel]


@pytest.fixture
def adapted(tiny_base: Path) -> Tiny:
    """Attach an adapter to a freshly loaded tiny base."""

    def build(seed: int = 0, dtype: Any = "float32", **lora: Any) -> AdaptedModel:
        base = load_base(BaseModelConfig(base=str(tiny_base), device="cpu", dtype=dtype))
        return AdaptedModel(base, Lora.model_validate({"rank": 2, **lora}), seed)

    return build


@pytest.fixture
def examples() -> EncodedExamples:
    """Four examples of 3 to 20 tokens, one with a label on all of it."""
    lengths, prompts = np.array([9, 20, 3, 14]), np.array([4, 15, 1, 2])
    tokens = np.random.default_rng(0).integers(3, 64, lengths.sum())
    return EncodedExamples(tokens, np.concatenate([[0], np.cumsum(lengths)]), prompts, 0, "")


def full_head_losses(model: AdaptedModel, examples: EncodedExamples) -> list[torch.Tensor]:
    """Take every example alone through the whole model and all of its logits."""
    losses = []
    for row in range(len(examples)):
        tokens, prompt = examples.example(row)
        logits = model.peft(torch.from_numpy(tokens)[None]).logits[0].float()
        wanted = torch.from_numpy(tokens)[prompt:]
        losses.append(torch.nn.functional.cross_entropy(logits[prompt - 1 : -1], wanted, reduction="none"))
    return losses


def test_the_seed_alone_decides_the_first_adapter(adapted: Tiny) -> None:
    torch.manual_seed(1)
    one = adapted(seed=3).initial.to_bytes()
    torch.manual_seed(2)
    assert adapted(seed=3).initial.to_bytes() == one
    assert adapted(seed=4).initial.to_bytes() != one


def test_attaching_leaves_the_global_generator_alone(adapted: Tiny) -> None:
    before = torch.get_rng_state()
    adapted()
    assert torch.equal(torch.get_rng_state(), before)


@torch.no_grad()
def test_an_untrained_adapter_changes_nothing(adapted: Tiny, tiny_base: Path) -> None:
    tokens = torch.tensor([[1, 8, 30, 700]])
    plain = load_base(BaseModelConfig(base=str(tiny_base), device="cpu")).model(tokens).logits
    assert torch.equal(adapted().peft(tokens).logits, plain)


def test_what_is_written_is_read_back_bit_for_bit(adapted: Tiny) -> None:
    model = adapted()
    wanted = random_like(model.initial)
    model.write(wanted)
    assert model.read().to_bytes() == wanted.to_bytes()


def test_what_was_read_stays_when_the_model_changes(adapted: Tiny) -> None:
    model = adapted()
    read, kept = model.read(), model.read().to_bytes()
    model.write(random_like(model.initial))
    assert read.to_bytes() == model.initial.to_bytes() == kept


def test_tensors_that_were_moved_away_are_noticed(adapted: Tiny) -> None:
    model = adapted()
    parameter = next(iter(model.parameters.values()))
    parameter.data = parameter.data.clone()
    with pytest.raises(ShepherdError, match="moved the adapter's tensors away"):
        model.read()


def test_an_adapted_head_is_computed_whole_and_carries_stacks(
    adapted: Tiny, examples: EncodedExamples
) -> None:
    model = adapted(rank=2, targets=["q_proj", "lm_head"])
    assert model.carries_stacks
    losses = model.token_losses(collate(load(examples, range(4))))
    torch.testing.assert_close(losses, torch.cat(full_head_losses(model, examples)), rtol=1e-5, atol=1e-5)


def test_logits_made_in_parts_change_no_loss_and_no_gradient(
    adapted: Tiny, examples: EncodedExamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = adapted(), collate(load(examples, range(4)))
    model.write(random_like(model.initial))
    leaves = list(model.parameters.values())
    whole = model.token_losses(batch)
    expected = torch.autograd.grad(whole.sum(), leaves)
    monkeypatch.setattr("shepherd.model.adapted._MOST_LOGITS", 3 * model.vocabulary)
    parts = model.token_losses(batch)
    # Some processors multiply smaller matrices in another order.
    torch.testing.assert_close(parts, whole, rtol=1e-6, atol=0)
    for found, wanted in zip(torch.autograd.grad(parts.sum(), leaves), expected, strict=True):
        assert (found - wanted).norm() < 1e-5 * wanted.norm()


def test_an_adapter_of_another_rank_is_refused_whole(adapted: Tiny) -> None:
    model = adapted()
    before = model.read().to_bytes()
    with pytest.raises(
        ShepherdError, match=r"^The adapter to load: tensor '.*lora_A.weight' has shape \(5, "
    ):
        model.write(random_like(adapted(rank=5).initial))
    assert model.read().to_bytes() == before


def test_only_the_adapter_is_trained(adapted: Tiny) -> None:
    model = adapted()
    trained = [name for name, p in model.peft.named_parameters() if p.requires_grad]
    assert len(trained) == len(model.parameters) == 2 * 7 * 2
    assert all("lora_" in name for name in trained)
    frozen, trainable = model.counts()
    assert trainable == model.initial.parameters
    assert frozen + trainable == sum(p.numel() for p in model.peft.parameters())


def test_a_fresh_model_is_in_evaluation_mode(adapted: Tiny) -> None:
    model = adapted(dropout=0.5)
    assert not any(module.training for module in model.peft.modules())


def test_a_loaded_adapter_is_evaluated_without_dropout(adapted: Tiny, examples: EncodedExamples) -> None:
    model = adapted(dropout=0.5)
    model.write(random_like(model.initial))
    batch = collate(load(examples, range(4)))
    assert torch.equal(model.token_losses(batch), model.token_losses(batch))


def test_targets_that_are_not_there_are_refused(adapted: Tiny) -> None:
    with pytest.raises(
        ShepherdError, match=r"The adapter does not fit .*nowhere.*Change adapter\.targets\.$"
    ):
        adapted(targets=["nowhere"])


@torch.no_grad()
def test_the_narrow_head_is_the_full_head_where_labels_are(adapted: Tiny, examples: EncodedExamples) -> None:
    model = adapted()
    model.write(random_like(model.initial))
    batch = collate(load(examples, [2, 0, 3, 1]))
    losses = model.token_losses(batch)
    alone = full_head_losses(model, examples)
    assert losses.shape == batch.targets.shape
    torch.testing.assert_close(losses, torch.cat([alone[row] for row in (2, 0, 3, 1)]), rtol=1e-5, atol=1e-5)
    assert batch.owners.tolist() == [0] * 2 + [1] * 5 + [2] * 12 + [3] * 5


SIZES: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "pad_token_id": 0,
    "initializer_range": 0.5,
}
UNUSUAL = {
    "scaled": lambda: GraniteForCausalLM(GraniteConfig(**SIZES, logits_scaling=8.0)),
    "capped": lambda: Gemma2ForCausalLM(Gemma2Config(**SIZES, head_dim=16, final_logit_softcapping=2.0)),
}


@torch.no_grad()
@pytest.mark.parametrize("kind", UNUSUAL)
def test_scaled_or_capped_logits_stay_so(kind: str, tokenizer: Any, examples: EncodedExamples) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        base = UNUSUAL[kind]().eval()
    model = AdaptedModel(Base(base, tokenizer, torch.device("cpu"), kind, ""), Lora(rank=2), 0)
    losses = model.token_losses(collate(load(examples, range(4))))
    torch.testing.assert_close(losses, torch.cat(full_head_losses(model, examples)), rtol=1e-5, atol=1e-5)


def test_a_bfloat16_base_keeps_a_float32_adapter(adapted: Tiny, examples: EncodedExamples) -> None:
    model = adapted(dtype="bfloat16")
    model.write(random_like(model.initial))
    losses = model.token_losses(collate(load(examples, range(4))))
    losses.sum().backward()
    assert {p.dtype for p in model.parameters.values()} == {losses.dtype} == {torch.float32}
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters.values())


def test_the_peft_config_is_pefts_own(adapted: Tiny, tiny_base: Path) -> None:
    config = adapted(alpha=3, dropout=0.25).peft_config()
    assert config["base_model_name_or_path"] == str(tiny_base)
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (2, 3, 0.25)
    assert config["inference_mode"] is True
