"""LoRA-SB: R between fixed factors. What it computes, what its mean is, what it costs, what it does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from shepherd.aggregation import FedAvg
from shepherd.config import parse_config
from shepherd.data.encoding import EncodedExamples
from shepherd.errors import ShepherdError
from shepherd.messages import ClientUpdate
from shepherd.model.adapted import AdaptedModel
from shepherd.model.adapter import Adapter
from shepherd.model.base import Base
from shepherd.model.kinds import AdapterKind, Lora, LoraSB
from shepherd.model.lora_pairs import Pair
from shepherd.training import Engine, LocalTask
from tiny_models import random_like

TOKENS = torch.tensor([[5, 8, 30, 70, 9]])


def llama(hidden: int = 32, **changes: Any) -> PreTrainedModel:
    """Build the same random LLaMA, with outputs narrower than its inputs, at every call."""
    sizes = {"hidden_size": hidden, "intermediate_size": 2 * hidden, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "initializer_range": 0.2}
    return frozen(LlamaForCausalLM, LlamaConfig(**{"vocab_size": 97, **sizes, **heads, **changes}))


def gpt2() -> PreTrainedModel:
    """Build a random GPT-2, whose layers hold their weights the other way round."""
    sizes: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}
    dropouts = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    return frozen(GPT2LMHeadModel, GPT2Config(vocab_size=97, **sizes, **dropouts))


def frozen(kind: Any, config: Any) -> PreTrainedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: PreTrainedModel = kind(config)
    model.config.use_cache = False
    return model.requires_grad_(False).eval()


def adapted(kind: AdapterKind, model: PreTrainedModel | None = None, seed: int = 0) -> AdaptedModel:
    base = Base(model or llama(), None, torch.device("cpu"), "tiny", "")
    return AdaptedModel(base, kind, seed)


def fixed(model: AdaptedModel) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return B and A of every module, in float64."""
    one = model.initial.map(torch.eye(len(next(iter(model.initial.values())))).expand_as)
    made = model.exported(one)
    assert made is not None
    return {
        module: (made[Pair(module).b].double(), made[Pair(module).a].double()) for module in modules(model)
    }


def modules(model: AdaptedModel) -> list[str]:
    return [name.removesuffix(".lora_R.weight") for name in model.layout.names]


@torch.no_grad()
def logits(model: AdaptedModel) -> torch.Tensor:
    return model.peft(input_ids=TOKENS).logits


@pytest.mark.parametrize("directions", ["base", "random"])
@pytest.mark.parametrize("build", [llama, gpt2])
def test_it_is_nothing_at_first_and_then_the_product_of_three(directions: Any, build: Any) -> None:
    kind = LoraSB(rank=4, alpha=6.0, directions=directions)
    model, plain = adapted(kind, build()), build()
    assert not model.initial.vector.any()
    with torch.no_grad():
        assert torch.equal(logits(model), plain(TOKENS).logits)
    trained = random_like(model.initial, 0.5)
    model.write(trained)
    weights = dict(plain.named_modules())
    for module, (b, a) in fixed(model).items():
        layer = weights[module.removeprefix("base_model.model.")]
        delta = 1.5 * b @ trained[f"{module}.lora_R.weight"].double() @ a
        layer.weight += (delta if isinstance(layer, torch.nn.Linear) else delta.T).float()
    with torch.no_grad():
        expected = plain(TOKENS).logits
    torch.testing.assert_close(logits(model), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.merged()(TOKENS).logits, expected, rtol=1e-4, atol=1e-4)


def test_fixed_factors_are_orthonormal_and_the_same_everywhere() -> None:
    for directions in ("base", "random"):
        kind = LoraSB(rank=4, directions=directions)
        first, again, other = (fixed(adapted(kind, seed=seed)) for seed in (0, 0, 1))
        for module, (b, a) in first.items():
            for gram in (b.T @ b, a @ a.T):
                torch.testing.assert_close(gram, torch.eye(4).double(), rtol=0, atol=1e-6)
            assert torch.equal(b, again[module][0])
            assert torch.equal(a, again[module][1])
        assert any(not torch.allclose(first[module][0], other[module][0], atol=1e-2) for module in first)


def test_the_bases_directions_are_its_singular_vectors() -> None:
    """Of a weight whose fifth singular value is a tenth of the fourth, the first four are found."""
    base = llama()
    expected, draw = {}, torch.Generator().manual_seed(3)
    for name, module in base.named_modules():
        if isinstance(module, torch.nn.Linear) and "lm_head" not in name:
            left = torch.linalg.qr(torch.randn(module.out_features, 16, generator=draw))[0]
            right = torch.linalg.qr(torch.randn(module.in_features, 16, generator=draw))[0]
            values = torch.tensor([4.0, 3.0, 2.0, 1.0] + [0.1] * 12)
            module.weight.data = left * values @ right.T
            expected[f"base_model.model.{name}"] = left[:, :4], right[:, :4]
    found = fixed(adapted(LoraSB(rank=4, directions="base"), base))
    assert found.keys() == expected.keys()
    for module, (left, right) in expected.items():
        b, a = found[module]
        # The same subspaces: nothing is lost in them.
        torch.testing.assert_close(b @ b.T, (left @ left.T).double(), rtol=0, atol=1e-4)
        torch.testing.assert_close(a.T @ a, (right @ right.T).double(), rtol=0, atol=1e-4)


def test_the_mean_of_r_is_the_mean_of_the_products() -> None:
    model, rule = adapted(LoraSB(rank=4)), FedAvg(weights="examples")
    start, counts = random_like(model.initial, seed=9), (1, 5, 2)
    updates = [random_like(model.initial, 0.3, seed) for seed in range(3)]
    total = rule.start(start)
    for client, (update, examples) in enumerate(zip(updates, counts, strict=True)):
        total = rule.accumulate(
            total, ClientUpdate(client, update, examples, examples, 9, 9, 1, 0.0, 0.0, 0.0)
        )
    found = products(model, start + rule.finish(start, total, {}).step)
    ends = [products(model, start + update) for update in updates]
    for module, product in found.items():
        exact = sum(count / sum(counts) * end[module] for count, end in zip(counts, ends, strict=True))
        torch.testing.assert_close(product, exact, rtol=0, atol=1e-6)


def products(model: AdaptedModel, adapter: Adapter) -> dict[str, torch.Tensor]:
    """Return what is exported, multiplied out: of every module the dense B R A, in float64."""
    made = model.exported(adapter)
    assert made is not None
    return {
        module: made[Pair(module).b].double() @ made[Pair(module).a].double() for module in modules(model)
    }


def test_what_travels_does_not_depend_on_how_wide_the_base_is() -> None:
    sizes = {
        name: [adapted(kind, llama(hidden)).layout.wire_bytes for hidden in (16, 64)]
        for name, kind in (("lora", Lora(rank=4)), ("lora_sb", LoraSB(rank=4)))
    }
    assert sizes["lora_sb"][0] == sizes["lora_sb"][1]
    assert sizes["lora"][0] < sizes["lora"][1]
    model = adapted(LoraSB(rank=4))
    assert model.initial.parameters == 14 * 4 * 4
    assert model.counts() == (
        adapted(Lora(rank=4)).counts()[0] + sum(adapted(Lora(rank=4)).layout.sizes),
        14 * 16,
    )


@pytest.fixture
def examples() -> EncodedExamples:
    """Ten examples of 9 to 14 tokens, the first five of which begin alike."""
    lengths = np.array([9, 14, 12, 10, 11, 13, 9, 12, 14, 10])
    tokens = np.random.default_rng(2).integers(3, 97, lengths.sum())
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    for start in offsets[:5]:
        tokens[start : start + 5] = np.arange(5) + 3
    return EncodedExamples(tokens, offsets, np.full(10, 6), 0, "")


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_clients_at_once_train_as_if_alone(examples: EncodedExamples, dropout: float) -> None:
    model = adapted(LoraSB(rank=4, dropout=dropout))
    assert model.carries_stacks
    assert model.forward == "fused LoRA"
    training = Engine(lr=1e-2, batch_size=3, micro_tokens=60, optimizer="adamw", epochs=2)
    tasks = [LocalTask(examples, np.arange(i, 10, i + 1), 3, 0, 1, i) for i in range(3)]
    starts = [random_like(model.initial, seed=seed) for seed in range(3)]
    together = list(training.train_together(model, starts, tasks))
    for start, task, (found, outcome) in zip(starts, tasks, together, strict=True):
        [(expected, alone)] = training.train_together(model, [start], [task])
        assert (found - expected).norm() < 1e-5 * (expected - start).norm()
        assert outcome.train_loss == pytest.approx(alone.train_loss, rel=1e-5)


def test_only_r_is_trained_even_after_peft_switched_the_adapter_off_and_on() -> None:
    model = adapted(LoraSB(rank=4))
    model.write(random_like(model.initial))
    before = fixed(model)
    with model.untuned():
        pass
    trainable = {id(parameter) for parameter in model.peft.parameters() if parameter.requires_grad}
    assert trainable == {id(parameter) for parameter in model.parameters.values()}
    after = fixed(model)
    assert all(torch.equal(before[module][1], after[module][1]) for module in before)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (LoraSB(rank=17), r"adapter.rank is 17, and '.*k_proj' of 'tiny' is only 16 wide.*; lower it, or"),
        (
            LoraSB(rank=4, targets=["q_proj", "embed_tokens"]),
            r"fits linear layers, and '.*embed_tokens'.* is none",
        ),
    ],
)
def test_a_base_it_does_not_fit_is_one_sentence(kind: LoraSB, said: str) -> None:
    with pytest.raises(ShepherdError, match=said):
        adapted(kind)


def test_a_convolution_is_not_taken_for_a_linear_layer() -> None:
    model: Any = llama()
    model.model.layers[0].mixing = torch.nn.Conv1d(32, 32, 1)
    with pytest.raises(ShepherdError, match=r"fits linear layers, and '.*mixing'.* is none"):
        adapted(LoraSB(rank=4, targets=["mixing"]), model)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"aggregation": "ffa"}, r"ffa needs an adapter of LoRA's A and B .*lora_sb is another.*fedavg"),
        ({"aggregation": {"measure_error": True}}, r"measure_error is about LoRA's products"),
        ({"model": {"quantisation": "4bit"}}, r"a 4bit base holds packed; set adapter.directions=random"),
        (
            {"capacity": {"name": "tiers", "tiers": [{"rank": 1, "share": 0.5}, {"share": 0.5}]}},
            r"only an adapter that is LoRA's A and B alone can be cut to them",
        ),
    ],
)
def test_what_does_not_go_with_it_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ShepherdError, match=said):
        parse_config({"adapter": {"name": "lora_sb", "directions": "base"}, **changes})
    parse_config({"adapter": "lora_sb", "model": {"quantisation": "4bit"}})


def test_peft_loads_what_is_exported_as_plain_lora(tmp_path: Path) -> None:
    from peft import PeftModel

    model = adapted(LoraSB(rank=4, alpha=6.0, rslora=True))
    trained = random_like(model.initial, 0.5)
    model.write(trained)
    trained.save(tmp_path / "adapter", model.peft_config(), model.exported(trained))
    theirs = PeftModel.from_pretrained(llama(), str(tmp_path / "adapter"))
    with torch.no_grad():
        torch.testing.assert_close(theirs(input_ids=TOKENS).logits, logits(model), rtol=1e-5, atol=1e-5)
