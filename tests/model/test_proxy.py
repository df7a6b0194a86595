from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerFast

from shepherd.errors import ShepherdError
from shepherd.model.features import FeatureSettings
from shepherd.model.proxy import Proxy, load_proxy

WORDS = ["the", "sheep", "dog", "grazes", "sleeps", "on", "a", "green", "hill", "and", "runs"]
SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
SIZES: dict[str, Any] = {
    "vocab_size": 24,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
TEXTS = [
    "the sheep",
    "a dog runs on the green hill and the sheep sleeps",
    "",
    "the dog",
    "sheep",
    "the green hill the green hill the green hill and a goat",
    "dog sheep hill",
]


def word_tokenizer(marks: bool) -> PreTrainedTokenizerFast:
    """One token a word; with marks around the text, as BERT has them, or with neither marks nor padding."""
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {"unk_token": "[UNK]"}
    if marks:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        )
        names |= {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def bert() -> Any:
    """With the head it was trained with, and without the pooler a plain model would have."""
    config = transformers.BertConfig(**SIZES, intermediate_size=48, max_position_embeddings=20)
    return transformers.BertForMaskedLM(config)


def roberta() -> Any:
    config = transformers.RobertaConfig(
        **SIZES, intermediate_size=48, max_position_embeddings=22, pad_token_id=0
    )
    return transformers.RobertaForMaskedLM(config)


def gpt2() -> Any:
    config = transformers.GPT2Config(vocab_size=24, n_embd=32, n_layer=2, n_head=2, n_positions=20)
    return transformers.GPT2LMHeadModel(config)


def albert() -> Any:
    """Runs one layer over and over, so hooks see nothing of use."""
    config = transformers.AlbertConfig(
        **SIZES, intermediate_size=48, embedding_size=16, max_position_embeddings=20
    )
    return transformers.AlbertForMaskedLM(config)


def t5() -> Any:
    config = transformers.T5Config(
        vocab_size=24, d_model=32, d_kv=16, d_ff=48, num_layers=2, num_heads=2, decoder_start_token_id=0
    )
    return transformers.T5ForConditionalGeneration(config)


def bart() -> Any:
    config = transformers.BartConfig(
        vocab_size=24,
        d_model=32,
        encoder_layers=2,
        decoder_layers=3,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_position_embeddings=20,
        bos_token_id=1,
        pad_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_eos_token_id=2,
    )
    return transformers.BartForConditionalGeneration(config)


MODELS: dict[str, Callable[[], Any]] = {
    "bert": bert,
    "roberta": roberta,
    "gpt2": gpt2,
    "albert": albert,
    "t5": t5,
    "bart": bart,
}


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[str], Path]:
    """Save a tiny random model with a small tokenizer of its own."""

    def save(kind: str) -> Path:
        folder = tmp_path / kind
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = MODELS[kind]()
            # As initialised, positions and layers hardly matter.
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.dim() > 1:
                        parameter.normal_(0, 0.3)
        model.save_pretrained(folder)
        word_tokenizer(marks=kind != "gpt2").save_pretrained(folder)
        return folder

    return save


def settings(**values: Any) -> FeatureSettings:
    return FeatureSettings.model_validate(values)


@torch.no_grad()
def expected(folder: Path, texts: list[str], token: str, empty: int = 0) -> np.ndarray:
    """Take every text alone through the model, unpadded and unmasked."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    model = model.float()
    model = model.encoder if model.config.is_encoder_decoder else model
    rows = []
    for text in texts:
        ids = tokenizer(text)["input_ids"] or [empty]
        states = model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
        vectors = [(s[0].mean(0) if token == "mean" else s[0, -1]).double().numpy() for s in states]
        rows.append(np.concatenate([v / np.linalg.norm(v) for v in vectors]) / np.sqrt(len(vectors)))
    return np.array(rows)


def close(found: np.ndarray, wanted: np.ndarray) -> None:
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)


@pytest.mark.parametrize("token", ["last", "mean"])
@pytest.mark.parametrize("kind", MODELS)
def test_they_are_the_hidden_states_of_each_text_alone(
    saved: Callable[[str], Path], kind: str, token: str
) -> None:
    folder = saved(kind)
    proxy = load_proxy(str(folder), "cpu")
    assert proxy.layers.modules or kind == "albert"
    found = proxy.features(TEXTS, settings(token=token, batch_tokens=40))
    assert found.shape[0] == len(TEXTS)
    close(found, expected(folder, TEXTS, token))
    order = [4, 0, 6, 2, 5, 1, 3]
    close(proxy.features([TEXTS[i] for i in order], settings(token=token)), found[order])
    only = proxy.features(TEXTS, settings(token=token, layers=[1]))
    close(only, found.reshape(len(TEXTS), 3, 32)[:, 1] * np.sqrt(3))


def test_an_encoder_reads_both_sides(saved: Callable[[str], Path]) -> None:
    """So that padding, were it seen, would change the features."""
    proxy = load_proxy(str(saved("bert")), "cpu")
    one, other = proxy.features(["sheep the", "sheep dog"], settings(layers=[0, 1]))
    assert np.linalg.norm(one - other) > 1e-3


def test_the_embedded_model_by_default(lamb: Path) -> None:
    proxy, texts = load_proxy(device="cpu"), ["A sheep grazes.", "", "Two dogs watch over a flock of sheep."]
    assert proxy is load_proxy(device="cpu")
    found = proxy.features(texts, settings())
    assert found.shape == (3, 7 * 192)
    empty = proxy.tokenizer.bos_token_id
    close(found, expected(lamb, texts, "last", empty))


@pytest.mark.parametrize(("kind", "most", "marks"), [("bert", 20, 2), ("roberta", 21, 2), ("gpt2", 20, 0)])
def test_longer_texts_keep_their_beginning_and_their_last_token(
    saved: Callable[[str], Path], kind: str, most: int, marks: int
) -> None:
    folder = saved(kind)
    proxy = load_proxy(str(folder), "cpu")
    words = [WORDS[number % len(WORDS)] for number in range(90)]
    kept = words[: most - marks] if marks else [*words[: most - 1], words[-1]]
    found = proxy.features([" ".join(words), "the dog"], settings())
    close(found, expected(folder, [" ".join(kept), "the dog"], "last"))


def test_no_texts_make_no_rows(saved: Callable[[str], Path]) -> None:
    assert load_proxy(str(saved("bert")), "cpu").features([], settings(layers=[0, 2])).shape == (0, 64)


def test_the_model_is_frozen_and_in_evaluation_mode(saved: Callable[[str], Path]) -> None:
    backbone = load_proxy(str(saved("gpt2")), "cpu").backbone
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert not any(module.training for module in backbone.modules())


def test_the_fingerprint_tells_weights_and_vocabularies_apart(saved: Callable[[str], Path]) -> None:
    proxy = load_proxy(str(saved("bert")), "cpu")
    seen = [proxy.fingerprint, load_proxy(device="cpu").fingerprint]

    def again() -> str:
        return Proxy(proxy.backbone, proxy.tokenizer, proxy.device, proxy.name).fingerprint

    assert again() == proxy.fingerprint
    proxy.tokenizer.add_tokens(["goat"])
    seen.append(again())
    with torch.no_grad():
        proxy.backbone.get_input_embeddings().weight[0, 0] += 1
    seen.append(again())
    assert len(set(seen)) == 4


def complaint(name: Path | str, device: str = "cpu") -> str:
    with pytest.raises(ShepherdError) as caught:
        load_proxy(str(name), device)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("coreset.proxy: ")
    assert "model.base" not in message
    return message


def test_what_cannot_be_loaded_is_refused_in_one_sentence(
    saved: Callable[[str], Path], tmp_path: Path
) -> None:
    assert complaint(tmp_path / "nowhere") == (
        f"coreset.proxy: there is no directory {tmp_path}/nowhere; give a hub name or a model directory."
    )
    assert "holds no config.json" in complaint(tmp_path)
    assert "cannot be used here" in complaint("lamb", "cuda:99")
    nonsense = tmp_path / "nonsense"
    nonsense.mkdir()
    (nonsense / "config.json").write_text('{"model_type": "sheep"}')
    assert "holds no weights" in complaint(nonsense)
    (nonsense / "model.safetensors").write_text("short")
    assert f"cannot load '{nonsense}' (" in complaint(nonsense)


def test_a_model_that_is_not_complete_is_refused(saved: Callable[[str], Path]) -> None:
    folder = saved("bert")
    weights = load_file(folder / "model.safetensors")
    del weights["bert.encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert "1 missing, such as encoder.layer.1.output.dense.weight" in complaint(folder)


def test_the_tokenizer_of_another_model_is_refused(saved: Callable[[str], Path], lamb: Path) -> None:
    folder = saved("gpt2")
    AutoTokenizer.from_pretrained(lamb).save_pretrained(folder)
    proxy = load_proxy(str(folder), "cpu")
    with pytest.raises(ShepherdError, match=r"^coreset\.proxy: the tokenizer of '.*' makes tokens .* 24 emb"):
        proxy.features(["Two dogs watch over a flock of sheep."], settings())


def test_a_model_that_is_no_language_model_is_refused(saved: Callable[[str], Path]) -> None:
    folder = saved("gpt2")
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48, image_size=32
    )
    transformers.ViTModel(config).save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["model_type"] == "vit"
    assert complaint(folder).endswith("does not read text; give a language model.")
