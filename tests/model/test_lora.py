from __future__ import annotations

import copy
from typing import Any

import peft
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from shepherd.model.lora import FusedLora, LoraProduct

TOKENS = torch.tensor([[1, 5, 9, 40, 3], [2, 2, 60, 7, 11]])
SIZES: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "initializer_range": 0.2,
}


def with_lora(architecture: str = "llama", dtype: torch.dtype = torch.float32, **lora: Any) -> Any:
    """Build a random model with a random adapter, PEFT's way."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        # Qwen2's attention has biases, LLaMA's has none.
        base = {
            "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
            "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES)),
        }[architecture]()
        config = peft.LoraConfig(task_type="CAUSAL_LM", r=3, target_modules="all-linear", **lora)
        model = peft.get_peft_model(base.to(dtype), config).eval()
        for parameter in model.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.1)
    return model


def logits_and_gradients(model: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    logits = model(TOKENS).logits
    logits.logsumexp(-1).square().sum().backward()
    return logits.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("bias", [False, True])
def test_the_products_gradients_are_exact(bias: bool) -> None:
    draw = torch.Generator().manual_seed(0)

    def matrix(*shape: int, trained: bool = True) -> torch.Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=draw).requires_grad_(trained)

    x, a, b = matrix(6, 5), matrix(2, 5), matrix(4, 2)
    weight, offset = matrix(4, 5, trained=False), matrix(4, trained=False) if bias else None

    def product(x: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> Any:
        return LoraProduct.apply(x, weight, offset, a, b, 0.7, None)

    expected = x @ weight.t() + (0 if offset is None else offset) + 0.7 * (x @ a.t()) @ b.t()
    torch.testing.assert_close(product(x, a, b), expected)
    assert torch.autograd.gradcheck(product, (x, a, b))


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
@pytest.mark.parametrize("scale", [{"lora_alpha": 5}, {"lora_alpha": 7, "use_rslora": True}])
def test_the_fused_forward_is_pefts(architecture: str, scale: dict[str, Any]) -> None:
    plain = with_lora(architecture, **scale)
    fused = copy.deepcopy(plain)
    assert len(FusedLora(fused)) == 14
    expected, expected_gradients = logits_and_gradients(plain)
    logits, gradients = logits_and_gradients(fused)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    assert gradients.keys() == expected_gradients.keys()
    for name, gradient in gradients.items():
        assert (gradient - expected_gradients[name]).norm() < 1e-5 * expected_gradients[name].norm(), name


@pytest.mark.filterwarnings("ignore:`lora_bias=True` was passed")
@pytest.mark.parametrize(
    "case",
    [
        {"use_dora": True},
        {"lora_bias": True, "init_lora_weights": False},
    ],
    ids=["DoRA", "LoRA bias"],
)
def test_what_is_not_plain_keeps_pefts_forward(case: dict[str, Any]) -> None:
    model = with_lora(**case)
    before = model(TOKENS).logits
    assert len(FusedLora(model)) == 0
    assert torch.equal(model(TOKENS).logits, before)


def test_layers_that_are_not_targets_stay_untouched() -> None:
    base = LlamaForCausalLM(LlamaConfig(**SIZES))
    model = peft.get_peft_model(base, peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
    assert len(FusedLora(model)) == 4


@torch.no_grad()
def test_merging_and_switching_off_stay_pefts() -> None:
    model = with_lora(lora_alpha=5)
    base_logits = with_lora(lora_alpha=5).unload()(TOKENS).logits
    FusedLora(model)
    adapted = model(TOKENS).logits
    with model.disable_adapter():
        torch.testing.assert_close(model(TOKENS).logits, base_logits)
    model.merge_adapter()
    torch.testing.assert_close(model(TOKENS).logits, adapted, rtol=1e-4, atol=1e-4)
    model.unmerge_adapter()
    torch.testing.assert_close(model(TOKENS).logits, adapted, rtol=1e-4, atol=1e-4)
    assert (adapted - base_logits).abs().max() > 0.1
