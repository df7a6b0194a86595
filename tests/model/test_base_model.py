from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from shepherd.errors import ShepherdError
from shepherd.model.base import BaseModelConfig, fingerprint, load_base, load_tokenizer


def config(base: Path | str, **changes: Any) -> BaseModelConfig:
    return BaseModelConfig.model_validate({"base": str(base), "device": "cpu", **changes})


def complaint(config: BaseModelConfig) -> str:
    with pytest.raises(ShepherdError) as caught:
        load_base(config)
    return str(caught.value)


@pytest.fixture
def copy(tiny_base: Path, tmp_path: Path) -> Path:
    """A copy of the tiny base that may be spoilt."""
    return Path(shutil.copytree(tiny_base, tmp_path / "base"))


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_the_base_is_frozen_and_in_evaluation_mode(tiny_base: Path) -> None:
    base = load_base(config(tiny_base))
    assert not any(parameter.requires_grad for parameter in base.model.parameters())
    assert not any(module.training for module in base.model.modules())
    assert {parameter.dtype for parameter in base.model.parameters()} == {torch.float32}


def test_the_embedded_base_needs_no_path() -> None:
    assert load_base(BaseModelConfig(device="cpu")).model.config.num_hidden_layers > 0


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_dtype_asked_for_is_the_dtype_held(tiny_base: Path, dtype: str) -> None:
    model = load_base(config(tiny_base, dtype=dtype)).model
    assert {str(parameter.dtype) for parameter in model.parameters()} == {f"torch.{dtype}"}


def test_the_fingerprint_tells_models_and_dtypes_apart(tiny_base: Path) -> None:
    one, again = load_base(config(tiny_base)), load_base(config(tiny_base))
    assert one.fingerprint == again.fingerprint
    assert one.fingerprint != load_base(config(tiny_base, dtype="bfloat16")).fingerprint
    with torch.no_grad():
        again.model.model.norm.weight[0] += 1
    assert fingerprint(again.model) != one.fingerprint


def test_a_missing_directory_is_said_to_be_missing(tmp_path: Path) -> None:
    message = complaint(config(tmp_path / "nowhere"))
    assert message == (
        f"model.base: there is no directory {tmp_path}/nowhere; give a hub name or a model directory."
    )


def test_a_directory_without_weights_is_refused(copy: Path) -> None:
    for file in copy.glob("*.safetensors"):
        file.unlink()
    assert complaint(config(copy)).startswith(f"model.base: {copy} holds no weights")


def test_a_directory_without_a_config_is_refused(copy: Path) -> None:
    (copy / "config.json").unlink()
    assert complaint(config(copy)).startswith(f"model.base: {copy} holds no config.json")


def test_a_directory_without_a_tokenizer_is_refused(copy: Path) -> None:
    for file in copy.glob("*token*"):
        file.unlink()
    message = complaint(config(copy))
    assert message.startswith(f"Cannot load a tokenizer from '{copy}': ")
    assert "\n" not in message


def test_weights_that_lack_a_tensor_are_refused(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    message = complaint(config(copy))
    assert "1 missing, such as model.layers.1.mlp.up_proj.weight" in message


def test_weights_of_another_size_are_refused_by_name(copy: Path) -> None:
    edit(copy / "config.json", lambda content: content.update(intermediate_size=80))
    assert "model.layers.0.mlp" in complaint(config(copy))


def test_an_unknown_architecture_is_refused_in_one_sentence(copy: Path) -> None:
    edit(copy / "config.json", lambda content: content.update(model_type="sheep"))
    assert "\n" not in complaint(config(copy))


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json"])
def test_a_file_cut_short_is_refused_in_one_sentence(copy: Path, file: str) -> None:
    whole = (copy / file).read_bytes()
    (copy / file).write_bytes(whole[: len(whole) // 2])
    message = complaint(config(copy))
    assert message.startswith("Cannot load ")
    assert str(copy) in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("file", "content"),
    [
        pytest.param("model.safetensors", "short"),
        pytest.param("config.json", "[]"),
        pytest.param(
            "config.json",
            '{"model_type": "llama", "hidden_size": null}',
        ),
        pytest.param("tokenizer.json", "{}"),
        pytest.param("tokenizer.json", '{"version": "9.0", "added_tokens": []}'),
    ],
)
def test_a_file_of_other_content_is_refused_in_one_sentence(copy: Path, file: str, content: str) -> None:
    (copy / file).write_text(content)
    assert "\n" not in complaint(config(copy))


def test_an_unknown_home_is_refused_in_one_sentence() -> None:
    assert complaint(config("~nobody-of-this-name/model")).startswith("model.base: ")


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(ValidationError, match="'auto', 'float32', 'bfloat16' or 'float16'"):
        config("lamb", dtype="int8")


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there_is_refused_in_one_sentence(device: str) -> None:
    message = complaint(config("lamb", device=device))
    assert message.startswith(f"model.device '{device}' cannot be used here (")
    assert message.endswith("; use auto or cpu.")
    assert "\n" not in message


@pytest.mark.parametrize("quantisation", ["8bit", "4bit"])
def test_quantisation_on_a_cpu_is_refused(tiny_base: Path, quantisation: str) -> None:
    message = complaint(config(tiny_base, quantisation=quantisation))
    assert message == (
        f"model.quantisation={quantisation} needs a CUDA GPU and this run is on cpu; set model.quantisation=none."
    )


def test_a_tokenizer_always_pads_afterwards(copy: Path) -> None:
    edit(copy / "tokenizer_config.json", lambda content: content.pop("pad_token", None))
    tokenizer = load_tokenizer(config(copy))
    assert tokenizer.pad_token_id is not None


def test_a_tokenizer_without_an_end_is_refused(copy: Path) -> None:
    edit(copy / "tokenizer_config.json", lambda content: content.pop("eos_token", None))
    assert "has no end-of-sequence token" in complaint(config(copy))


@pytest.mark.parametrize(
    ("value", "dtype", "said"),
    [
        (float("nan"), "auto", "large for float32"),
        (float("-inf"), "bfloat16", "large for bfloat16"),
        (1e5, "float16", "large for float16"),
    ],
)
def test_a_weight_that_is_no_number_is_named(copy: Path, value: float, dtype: str, said: str) -> None:
    file = next(copy.glob("*.safetensors"))
    weights = load_file(file)
    name = next(name for name in weights if "q_proj" in name)
    weights[name].view(-1)[7] = value
    save_file(weights, file, metadata={"format": "pt"})
    message = complaint(config(copy, dtype=dtype))
    assert f"'{copy}' has weights that are not finite, in {name}: " in message
    assert said in message
    if value == 1e5:
        load_base(config(copy))
