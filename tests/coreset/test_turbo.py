from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shepherd.coreset import FedHDSTurbo
from shepherd.data.population import ClientView
from shepherd.errors import ShepherdError
from shepherd.messages import ClientJob
from shepherd.model.adapted import AdaptedModel
from shepherd.model.proxy import load_proxy

Views, Jobs = Callable[..., ClientView], Callable[..., ClientJob]


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny GPT-2 with a tokenizer of its own: words, and a number for what it does not know."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2Model, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("proxy")
    words = {"<unk>": 0, "<s>": 1, **{chr(97 + n): n + 2 for n in range(26)}}
    own = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    own.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    PreTrainedTokenizerFast(tokenizer_object=own, unk_token="<unk>", bos_token="<s>").save_pretrained(folder)
    config = GPT2Config(vocab_size=28, n_positions=64, n_embd=16, n_layer=2, n_head=2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        GPT2Model(config).save_pretrained(folder)
    return str(folder)


def test_a_proxy_with_another_tokenizer_groups_once_whatever_the_adapter(
    proxy: str, view: Views, job: Jobs, model: AdaptedModel
) -> None:
    rule = FedHDSTurbo(proxy=proxy, smallest_group=3)
    rule.prepare(model)
    assert rule.lasting({"round": 0})
    first = rule.summarise(view(), job(), model)
    assert first.message["means"].shape[1] == 32
    other = job(round=0)
    other.adapter.vector.zero_()
    assert torch.equal(rule.summarise(view(), other, model).message["means"], first.message["means"])
    assert rule.summarise(view(), job(round=5, kept=first.kept), model).kept["round"] == 0


def test_features_are_of_the_clients_own_text_in_its_order(
    proxy: str, view: Views, job: Jobs, model: AdaptedModel
) -> None:
    rule, client = FedHDSTurbo(proxy=proxy), view()
    found = rule.features_of(client, job(), model)
    for row in (0, 7, 39):
        tokens, _ = client.examples.example(int(client.rows[row]))
        text = model.tokenizer.decode(tokens, skip_special_tokens=True)
        expected = load_proxy(proxy, "cpu").features([text], rule.features)[0]
        np.testing.assert_allclose(found[row], expected, atol=1e-5)


@pytest.mark.parametrize("name", ["./nowhere", "nobody/has-this"])
def test_a_proxy_that_cannot_be_loaded_is_said_before_the_first_round(
    name: str, model: AdaptedModel, monkeypatch: Any
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ShepherdError, match=r"coreset\.proxy"):
        FedHDSTurbo(proxy=name).prepare(model)


def test_the_embedded_model_is_the_default(lamb: Path) -> None:
    assert FedHDSTurbo().proxy == "lamb"
    assert load_proxy("lamb", "cpu").features(["a", "b"], FedHDSTurbo().features).shape[0] == 2
