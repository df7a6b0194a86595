from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save as save_tensors

from shepherd.errors import ShepherdError
from shepherd.model.adapter import Adapter
from tiny_models import random_like, untrained

SHAPES = {"b.lora_A": (2, 5), "a.lora_B": (3, 2), "c": (1,)}

seeds = st.integers(0, 2**32 - 1)
factors = st.floats(-100, 100, width=32)


def random_adapter(seed: int) -> Adapter:
    draw = torch.Generator().manual_seed(seed)
    return Adapter({name: torch.randn(shape, generator=draw) for name, shape in SHAPES.items()})


def flat(adapter: Adapter) -> np.ndarray:
    return np.concatenate([tensor.double().numpy().ravel() for tensor in adapter.values()])


LIKE = random_adapter(0)


@given(seeds, seeds, factors)
def test_arithmetic_is_a_vectors(one: int, other: int, factor: float) -> None:
    x, y = random_adapter(one), random_adapter(other)
    np.testing.assert_allclose(flat(x + y), flat(x) + flat(y), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(flat(x - y), flat(x) - flat(y), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(flat(x * factor), factor * flat(x), rtol=1e-6, atol=1e-37)
    assert (factor * x).to_bytes() == (x * factor).to_bytes()
    assert x.norm() == pytest.approx(np.linalg.norm(flat(x)), rel=1e-12)
    assert x.parameters == flat(x).size == 17


@given(seeds)
def test_arithmetic_changes_no_operand(seed: int) -> None:
    x = random_adapter(seed)
    before = x.to_bytes()
    x + x, x - x, 2 * x, x.map(torch.neg)
    assert x.to_bytes() == before


def test_named_tensors_are_views_of_the_one_vector() -> None:
    adapter = Adapter({"b": torch.ones(2), "a": torch.arange(6.0).view(2, 3)})
    assert adapter.vector.tolist() == [0, 1, 2, 3, 4, 5, 1, 1]
    adapter.vector[0] = 7
    assert adapter["a"][0, 0] == 7
    assert adapter.wire_bytes == len(adapter.to_bytes())


def test_adapters_of_other_tensors_do_not_add() -> None:
    with pytest.raises(ValueError, match="different tensors"):
        Adapter({"a": torch.ones(2)}) + Adapter({"b": torch.ones(2)})


def test_tensors_come_in_the_order_of_their_names_as_float32() -> None:
    adapter = Adapter({name: torch.ones(shape, dtype=torch.bfloat16) for name, shape in SHAPES.items()})
    assert list(adapter) == sorted(SHAPES)
    assert {tensor.dtype for tensor in adapter.values()} == {torch.float32}


def test_an_adapter_does_not_drag_its_graph_along() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    assert not Adapter({"a": weight * 2})["a"].requires_grad


@given(seeds)
def test_the_wire_form_comes_back_bit_for_bit(seed: int) -> None:
    sent = random_adapter(seed)
    data = sent.to_bytes()
    received = Adapter.from_bytes(data, LIKE, "a message")
    assert received.to_bytes() == data
    assert all(torch.equal(received[name], sent[name]) for name in sent)
    assert len(data) == sent.wire_bytes
    assert 4 * sent.parameters < sent.wire_bytes < 4 * sent.parameters + 500


def test_the_wire_form_depends_on_values_alone() -> None:
    strided = {
        name: torch.stack([LIKE[name], LIKE[name]], dim=-1)[..., 0] for name in sorted(LIKE, reverse=True)
    }
    assert Adapter(strided).to_bytes() == LIKE.to_bytes()


def test_a_directory_comes_back_bit_for_bit(tmp_path: Path) -> None:
    LIKE.save(tmp_path / "adapter", {"r": 2, "target_modules": {"v_proj", "q_proj"}})
    assert Adapter.load(tmp_path / "adapter", LIKE).to_bytes() == LIKE.to_bytes()
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config == {"r": 2, "target_modules": ["q_proj", "v_proj"]}


def test_saving_replaces_the_directory_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "left over").touch()
    LIKE.save(tmp_path / "adapter", {})
    names = sorted(path.name for path in (tmp_path / "adapter").iterdir())
    assert names == ["adapter_config.json", "adapter_model.safetensors"]


def changed(**changes: torch.Tensor) -> dict[str, torch.Tensor]:
    return {**LIKE, **changes}


WRONG: dict[str, tuple[dict[str, torch.Tensor], str]] = {
    "missing": ({name: t for name, t in LIKE.items() if name != "c"}, "lacks tensor 'c'"),
    "extra": (changed(d=torch.ones(1)), "has the unexpected tensor 'd'"),
    "renamed": ({("c2" if name == "c" else name): t for name, t in LIKE.items()}, "lacks tensor 'c'"),
    "several missing": ({}, "lacks tensor 'a.lora_B' and 2 more"),
    "transposed": (changed(**{"b.lora_A": torch.ones(5, 2)}), r"'b.lora_A' has shape \(5, 2\), not \(2, 5\)"),
    "flat": (changed(**{"a.lora_B": torch.ones(6)}), r"'a.lora_B' has shape \(6,\)"),
    "scalar": (changed(c=torch.tensor(1.0)), r"'c' has shape \(\)"),
    "float64": (changed(c=torch.ones(1, dtype=torch.float64)), "'c' is torch.float64"),
    "integer": (changed(c=torch.ones(1, dtype=torch.int64)), "'c' is torch.int64"),
    "float8": (changed(c=torch.ones(1).to(torch.float8_e4m3fn)), "'c' is torch.float8"),
    "NaN": (changed(c=torch.tensor([float("nan")])), "'c' holds a value that is not finite"),
    "infinity": (changed(c=torch.tensor([-float("inf")])), "'c' holds a value that is not finite"),
    "half infinity": (changed(c=torch.tensor([1e9]).half()), "'c' holds a value that is not finite"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_refused_by_name(case: str) -> None:
    tensors, complaint = WRONG[case]
    with pytest.raises(ShepherdError, match=f"^a message.*{complaint}"):
        Adapter.from_bytes(save_tensors(tensors), LIKE, "a message")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_taken_and_widened(dtype: torch.dtype) -> None:
    received = Adapter.from_bytes(save_tensors({n: t.to(dtype) for n, t in LIKE.items()}), LIKE, "it")
    assert all(torch.equal(received[name], LIKE[name].to(dtype).float()) for name in LIKE)


@given(cut=st.integers(0, LIKE.wire_bytes - 1))
def test_a_cut_message_is_refused(cut: int) -> None:
    with pytest.raises(ShepherdError, match="a message is not a safetensors file"):
        Adapter.from_bytes(LIKE.to_bytes()[:cut], LIKE, "a message")


@given(at=st.integers(0, LIKE.wire_bytes - 1), byte=st.integers(0, 255))
def test_a_garbled_message_is_refused_or_fits(at: int, byte: int) -> None:
    data = bytearray(LIKE.to_bytes())
    data[at] = byte
    try:
        received = Adapter.from_bytes(bytes(data), LIKE, "a message")
    except ShepherdError:
        return
    assert {name: t.shape for name, t in received.items()} == {name: t.shape for name, t in LIKE.items()}
    assert np.isfinite(flat(received)).all()


def test_a_message_far_too_large_is_refused_unread() -> None:
    with pytest.raises(ShepherdError, match="a message has 2,000,000 bytes, more than the 68"):
        Adapter.from_bytes(bytes(2_000_000), LIKE, "a message")


def test_a_directory_without_an_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShepherdError, match=r"There is no adapter at .*adapter_model\.safetensors"):
        Adapter.load(tmp_path, LIKE)


@torch.no_grad()
def test_peft_loads_what_was_saved_with_the_same_logits(lamb: Path, tmp_path: Path) -> None:
    model = untrained(lamb, rank=4)
    adapter = random_like(model.initial, 0.05, seed=3)
    model.write(adapter)
    model.read().save(tmp_path / "adapter", model.peft_config())

    fresh = transformers.AutoModelForCausalLM.from_pretrained(lamb, dtype=torch.float32)
    tokens = torch.tensor([[1, 50, 700, 81, 4000, 12]])
    untuned = fresh(tokens).logits
    loaded = peft.PeftModel.from_pretrained(fresh, tmp_path / "adapter")
    ours, theirs = model.peft.eval()(tokens).logits, loaded(tokens).logits
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert (theirs - untuned).abs().max() > 0.1
    saved = peft.get_peft_model_state_dict(loaded)
    assert Adapter.from_bytes(save_tensors(saved), adapter, "PEFT's own").to_bytes() == adapter.to_bytes()
