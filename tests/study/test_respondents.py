from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch.nn import functional

from shepherd.errors import ShepherdError
from shepherd.evaluation.decoding import DecodingSettings
from shepherd.model.base import BaseModelConfig, load_base
from shepherd.runs import load_run
from shepherd.study.answers import Answer
from shepherd.study.bases import LoadedBase
from shepherd.study.questions import Question
from shepherd.study.respondents import LocalRespondent, open_respondent

QUESTIONS = [
    Question("one", "", "Name four things a shepherd needs.", references=["A dog.", "A coat."]),
    Question("two", "", "What is said?", "The sheep are on the hill."),
    Question("three", "", "Hi", references=["Hello to you too, and to the sheep."]),
]
DECODING = DecodingSettings(max_new_tokens=6)


def asked(respondent: LocalRespondent, **settings: Any) -> dict[str, Answer]:
    decoding = DECODING.model_copy(update=settings)
    return {answer.question: answer for answer in respondent.answers(QUESTIONS, decoding)}


@torch.no_grad()
def plain_loss(model: Any, prompt: list[int], reference: list[int]) -> float:
    """The mean cross-entropy of a reference, by one forward pass."""
    tokens = torch.tensor([[*prompt, *reference]])
    logits = model(tokens).logits[0, len(prompt) - 1 : -1]
    return float(functional.cross_entropy(logits.float(), tokens[0, len(prompt) :]))


def test_a_run_answers_with_its_own_adapter_and_prompt(runs: Path) -> None:
    respondent = open_respondent("runs/a")
    run = load_run("runs/a")
    assert respondent.prompt.render("Hi", "") == "Hi\n"
    found = asked(respondent)
    for question in QUESTIONS:
        assert [found[question.id].answer] == run.generate([question.instruction], question.context, 6)
        assert 1 <= found[question.id].tokens <= 6
    card = respondent.card
    assert (card.label, card.kind, card.source) == ("a", "run", "runs/a")
    assert card.prompt["name"] == "plain"
    assert card.prompt["max_tokens"] == 64
    assert card.about["seed"] == 0
    assert card.about["holdout_fingerprint"]
    assert card.base_fingerprint == respondent.model.base.fingerprint


def test_the_loss_is_the_first_references(runs: Path) -> None:
    respondent = open_respondent("runs/a")
    found = asked(respondent)
    assert found["two"].loss is None
    assert found["two"].loss_tokens is None
    tokenizer = respondent.model.tokenizer
    model = peft.PeftModel.from_pretrained(load_base(load_run("runs/a").config.model).model, "runs/a/adapter")
    for question, prompt in zip(QUESTIONS, respondent.prompts(QUESTIONS), strict=True):
        if question.references:
            reference = tokenizer(question.references[0], add_special_tokens=False)["input_ids"]
            expected = plain_loss(model, prompt, [*reference, tokenizer.eos_token_id])
            assert found[question.id].loss == pytest.approx(expected, rel=1e-4)
            assert found[question.id].loss_tokens == len(reference) + 1


def test_models_on_one_base_share_it_and_stay_themselves(runs: Path, tiny_base: Path) -> None:
    alone = {
        source: asked(open_respondent(source, prompt="plain"))
        for source in ("runs/a", "runs/other", str(tiny_base))
    }
    loaded = LoadedBase()
    run = open_respondent("runs/a", loaded=loaded)
    other = open_respondent("runs/other", loaded=loaded)
    config = BaseModelConfig(base=str(tiny_base))
    plain = open_respondent(str(tiny_base), prompt="plain", loaded=loaded)
    assert run.model is other.model is plain.model is loaded.adapted(config)
    for source, respondent in zip([*alone, "runs/a"], [run, other, plain, run], strict=True):
        assert asked(respondent) == alone[source]
    assert alone["runs/a"]["one"].loss != alone["runs/other"]["one"].loss


def test_an_untuned_baseline_is_the_plain_base(runs: Path, tiny_base: Path) -> None:
    untuned = open_respondent("runs/a/baselines/untuned")
    assert untuned.card.label == "a/untuned"
    assert untuned.card.about["rounds"] == 0
    assert asked(untuned) == asked(open_respondent(str(tiny_base), prompt="plain"))


def test_a_peft_directory_answers_as_its_run(runs: Path) -> None:
    by_run, by_peft = asked(open_respondent("runs/a")), open_respondent("runs/a/adapter", prompt="plain")
    assert by_peft.card.kind == "adapter"
    assert by_peft.card.prompt["name"] == "plain"
    found = asked(by_peft)
    assert {q: a.answer for q, a in found.items()} == {q: a.answer for q, a in by_run.items()}
    for name in ("one", "three"):
        assert found[name].loss == pytest.approx(by_run[name].loss, rel=1e-4)


@pytest.mark.parametrize(
    "kind",
    [
        peft.IA3Config(task_type="CAUSAL_LM", target_modules=["k_proj"], feedforward_modules=[]),
        peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
        peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules="all-linear", use_dora=True),
    ],
)
def test_other_kinds_of_adapters(kind: peft.PeftConfig, tiny_base: Path, tmp_path: Path) -> None:
    base = load_base(BaseModelConfig(base=str(tiny_base)))
    model = peft.get_peft_model(base.model, kind).eval()
    with torch.no_grad():
        for parameter in (p for p in model.parameters() if p.requires_grad):
            parameter.add_(0.1)
    model.save_pretrained(tmp_path / "mine")
    found = asked(open_respondent(str(tmp_path / "mine"), prompt="plain"))
    plain = asked(open_respondent(str(tiny_base), prompt="plain"))
    assert found["one"].loss != plain["one"].loss
    prompt = open_respondent(str(tiny_base), prompt="plain").prompts(QUESTIONS)[0]
    reference = [*base.tokenizer("A dog.", add_special_tokens=False)["input_ids"], 2]
    if not kind.is_prompt_learning:
        assert found["one"].loss == pytest.approx(plain_loss(model, prompt, reference), rel=1e-4)


def test_an_adapter_that_cannot_be_used(runs: Path) -> None:
    folder = runs / "a" / "adapter"
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": None}))
    with pytest.raises(ShepherdError, match="names no base model"):
        open_respondent("runs/a/adapter")
    (folder / "adapter_config.json").write_text(json.dumps(config | {"r": 3}))
    with pytest.raises(ShepherdError, match=r"does not fit|lacks a part"):
        open_respondent("runs/a/adapter")
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(ShepherdError, match=r"holds no adapter_model\.safetensors"):
        open_respondent("runs/a/adapter")


def test_a_prompt_that_leaves_no_room(runs: Path) -> None:
    with pytest.raises(ShepherdError, match=r"sees 256 tokens; .* give --max-new-tokens \d+ at most"):
        asked(open_respondent("runs/a"), max_new_tokens=255)


def test_a_prompt_the_base_does_not_have(tiny_base: Path) -> None:
    with pytest.raises(ShepherdError, match="There is no prompt 'alpacca'"):
        open_respondent(str(tiny_base), prompt="alpacca")
