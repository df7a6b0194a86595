"""A run with every kind of adapter: it is trained, and whoever opens what it left computes the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from shepherd.errors import ShepherdError
from shepherd.export import export_merged
from shepherd.model.losses import example_losses
from shepherd.runs import execute, load_run
from shepherd.study.respondents import open_respondent
from tiny_runs import lines, named

KINDS: dict[str, dict[str, Any]] = {
    "lora on a layer": {"adapter": {"name": "lora", "rank": 2, "layers": [1]}},
    "dora": {"adapter": {"name": "dora", "rank": 2}},
    "lora_sb": {"adapter": {"name": "lora_sb", "rank": 4}},
    "ia3": {"adapter": "ia3"},
    "prompt": {"adapter": {"name": "prompt", "tokens": 3}},
    "ptuning": {"adapter": {"name": "ptuning", "tokens": 3, "hidden": 8}},
    "prefix": {"adapter": {"name": "prefix", "tokens": 3}},
    "prefix by a network": {
        "adapter": {"name": "prefix", "tokens": 3, "init": "random", "projection": True, "hidden": 8}
    },
    "bitfit": {"adapter": "bitfit"},
    "full": {"adapter": {"name": "full", "only": ["*self_attn*", "*norm*"]}},
    "kseed": {
        "adapter": {"name": "kseed", "seeds": 8},
        "training": {"name": "kseed", "lr": 1e-3, "steps": 3, "batch_size": 2},
    },
}


@pytest.fixture(scope="module")
def biased(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base with biases in its attention."""
    folder = tmp_path_factory.mktemp("biased") / "tiny"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(AutoConfig.from_pretrained(tiny_base, attention_bias=True)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_base).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", KINDS)
def test_a_run_trains_and_is_opened_again_as_it_was(
    tiny: dict[str, Any], biased: Path, tmp_path: Path, name: str
) -> None:
    changes = KINDS[name]
    config = named({**tiny, "rounds": 2, "model": {"base": str(biased)}}, name.replace(" ", "-"), **changes)
    execute(config)
    rounds = [line for line in lines(config) if line["scope"] == "round"]
    assert len(rounds) == 2
    assert all(line["update_norm"] > 0 for line in rounds)

    examples = [(np.array([1, 5, 9, 40, 3]), 2), (np.array([1, 8, 30, 7, 11, 60]), 3)]
    run = load_run(config.run.directory)
    expected = example_losses(run.model, examples).sums
    with run.model.untuned():
        assert not np.allclose(example_losses(run.model, examples).sums, expected, rtol=1e-6)
    for place in (config.run.directory, config.run.directory / "adapter"):
        asked = open_respondent(str(place))
        with asked.speaking():
            np.testing.assert_allclose(asked.loss(examples).sums, expected, rtol=1e-4)

    if config.adapter.name in ("prompt", "ptuning", "prefix"):
        with pytest.raises(ShepherdError, match="changes no weight, so there is nothing to merge"):
            export_merged(run, tmp_path / "merged")
        return
    tokens = torch.tensor([[1, 5, 9, 40]])
    with torch.no_grad():
        logits = run.model.peft(input_ids=tokens).logits
        export_merged(run, tmp_path / "merged")
        merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
        torch.testing.assert_close(merged(tokens).logits, logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("said", [{"name": "os.path"}, {"name": "lamb"}, "full", {}])
def test_an_adapter_of_no_known_kind_is_refused(tiny_base: Path, tmp_path: Path, said: Any) -> None:
    config = {"shepherd_adapter": said, "base_model_name_or_path": str(tiny_base)}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(ShepherdError, match="names no kind of adapter that it has"):
        open_respondent(str(tmp_path))
