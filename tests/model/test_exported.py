"""A trained adapter and what was added to the base, as one PEFT adapter, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from shepherd.errors import ShepherdError
from shepherd.model.adapted import AdaptedModel
from shepherd.model.adapter import CONFIG_FILE, WEIGHTS_FILE, Adapter
from shepherd.model.base import BaseModelConfig, load_base
from shepherd.model.exported import read_exported, write_exported
from shepherd.model.kinds import Lora
from shepherd.model.lora_pairs import pairs_of
from shepherd.model.residual import to_tree
from shepherd.tree import Tree
from tiny_models import random_like, untrained

TOKENS = torch.tensor([[5, 17, 200, 33, 8]])


def residual_of(adapter: Adapter, rank: int = 5) -> Tree:
    """Return factors to add to the first two modules, of a rank that differs between them."""
    draw = torch.Generator().manual_seed(3)
    return to_tree(
        {
            pair.module: (
                0.1 * torch.randn(len(adapter[pair.b]), rank + place, generator=draw),
                0.1 * torch.randn(rank + place, adapter[pair.a].shape[1], generator=draw),
            )
            for place, pair in enumerate(pairs_of(adapter.layout)[:2])
        }
    )


def logits(model: Any) -> torch.Tensor:
    return model(input_ids=TOKENS).logits.detach()


@pytest.mark.parametrize("kind", [Lora(rank=2, alpha=3), Lora(rank=2, alpha=3, rslora=True)])
def test_peft_loads_the_whole_tuned_model(tiny_base: Path, tmp_path: Path, kind: Lora) -> None:
    import peft

    base = BaseModelConfig(base=str(tiny_base), device="cpu")
    model = AdaptedModel(load_base(base), kind, 0)
    plain = logits(model.peft)
    model.write(random_like(model.initial))
    residual = residual_of(model.initial)
    model.rest_on(residual)
    write_exported(tmp_path / "adapter", model.read(), model.peft_config(), residual)
    theirs = peft.PeftModel.from_pretrained(load_base(base).model, tmp_path / "adapter")
    torch.testing.assert_close(logits(theirs), logits(model.peft), atol=1e-5, rtol=1e-5)

    back = AdaptedModel(load_base(base), kind, 0)
    back.load(tmp_path / "adapter")
    assert back.read().to_bytes() == model.read().to_bytes()
    assert torch.equal(logits(back.peft), logits(model.peft))
    with back.untuned():
        assert torch.equal(logits(back.peft), plain)
    assert torch.equal(logits(back.peft), logits(model.peft))


def test_without_anything_added_it_is_the_adapter_itself(tiny_base: Path, tmp_path: Path) -> None:
    model = untrained(tiny_base)
    adapter = random_like(model.initial)
    write_exported(tmp_path / "adapter", adapter, model.peft_config(), {})
    assert (tmp_path / "adapter" / WEIGHTS_FILE).read_bytes() == adapter.to_bytes()
    assert json.loads((tmp_path / "adapter" / CONFIG_FILE).read_text())["rank_pattern"] == {}
    found, residual = read_exported(tmp_path / "adapter", model.initial)
    assert found.to_bytes() == adapter.to_bytes()
    assert residual == {}


def test_a_rank_that_no_matrix_has_or_only_one_factor_has_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    model = untrained(tiny_base)
    pair = pairs_of(model.layout)[0]
    wide = torch.zeros(len(model.initial[pair.a]) + 3, model.initial[pair.a].shape[1])
    Adapter({**model.initial, pair.a: wide}).save(tmp_path / "one", model.peft_config())
    with pytest.raises(ShepherdError, match="has shape"):
        read_exported(tmp_path / "one", model.initial)
    huge = torch.zeros(1000, model.initial[pair.a].shape[1])
    Adapter({**model.initial, pair.a: huge}).save(tmp_path / "two", model.peft_config())
    with pytest.raises(ShepherdError, match="has shape"):
        read_exported(tmp_path / "two", model.initial)
    (tmp_path / "two" / WEIGHTS_FILE).write_bytes(b"nonsense")
    with pytest.raises(ShepherdError, match="not a safetensors file"):
        read_exported(tmp_path / "two", model.initial)
    with pytest.raises(ShepherdError, match="There is no adapter"):
        read_exported(tmp_path / "three", model.initial)


def test_only_finite_factors_of_adapted_layers_are_added(tiny_base: Path) -> None:
    model = untrained(tiny_base)
    before, good = logits(model.peft), residual_of(model.initial)
    module = next(iter(good))
    left, right = good[module]["left"], good[module]["right"]
    wrong = (
        {"left": left},
        {"left": left, "right": right[:2]},
        {"left": left.T, "right": right},
        {"left": left.double(), "right": right},
        {"left": left, "right": right * float("nan")},
        {"left": left.repeat(1, 99), "right": right.repeat(99, 1)},
        7,
    )
    for pair in wrong:
        with pytest.raises(ShepherdError, match=r"no finite float32 factors of a \d+ x \d+ matrix"):
            model.rest_on({module: pair})
    with pytest.raises(ShepherdError, match="'lm_head', which is no linear layer that this run adapts"):
        model.rest_on({"lm_head": good[module]})
    assert torch.equal(logits(model.peft), before)


def test_a_base_without_plain_layers_takes_nothing() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    from shepherd.model.base import Base

    base = GPT2LMHeadModel(GPT2Config(vocab_size=32, n_embd=8, n_layer=1, n_head=1, n_positions=16))
    model = AdaptedModel(
        Base(base.eval(), None, torch.device("cpu"), "tiny gpt2", ""), Lora(rank=2, targets=["c_attn"]), 0
    )
    with pytest.raises(ShepherdError, match=r"c_attn.*belongs to no plain linear layer"):
        model.check_can_rest("The aggregation", "aggregation.name=flexlora")


def test_a_base_that_was_half_changed_is_put_back(tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = untrained(tiny_base)
    layers = {name: layer.get_base_layer().weight for name, layer in model.lora._layers[:2]}
    before = {name: weight.clone() for name, weight in layers.items()}
    residual = {
        name: {"left": torch.ones(len(weight), 1), "right": torch.ones(1, weight.shape[1])}
        for name, weight in layers.items()
    }
    change, done = model.lora.change_base, list[str]()

    def once(name: str, *rest: Any) -> None:
        """Change one layer, then run out of memory."""
        if done:
            raise torch.OutOfMemoryError
        done.append(name)
        change(name, *rest)

    monkeypatch.setattr(model.lora, "change_base", once)
    with pytest.raises(torch.OutOfMemoryError):
        model.rest_on(residual)
    monkeypatch.setattr(model.lora, "change_base", change)
    model.rest_on({})
    assert all(torch.equal(layers[name], weight) for name, weight in before.items())
