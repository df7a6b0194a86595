"""DPO against equation 7 of arXiv 2305.18290, written out on PEFT's own model in float64."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import peft
import pytest
import torch
from pydantic import ValidationError
from torch.nn.functional import cross_entropy
from transformers import LlamaForCausalLM

from shepherd.config import parse_config
from shepherd.data.encoding import EncodedExamples
from shepherd.data.instructions import read_instructions
from shepherd.errors import ShepherdError
from shepherd.model.adapted import AdaptedModel
from shepherd.model.adapter import Adapter
from shepherd.model.batch import Examples
from shepherd.report.figures import client_figure
from shepherd.report.record import read_record
from shepherd.report.summary import sentences
from shepherd.runs import execute
from shepherd.training import Dpo, Engine, LocalOutcome, LocalTask
from shepherd.training.preferences import Reference
from tiny_models import random_like
from tiny_runs import lines, named

Adapted = Callable[..., AdaptedModel]

SETTINGS: list[dict[str, Any]] = [
    {"beta": 0.1, "optimizer": "sgd", "lr": 1.0, "steps": 3},
    {"beta": 0.5, "label_smoothing": 0.2, "reference": "round", "clip_norm": 0.3, "steps": 4},
    {"beta": 5.0, "per_token": True, "lr_schedule": "cosine", "epochs": 1.5},
    {"beta": 0.3, "per_token": True, "reference": "round", "optimizer": "sgd", "lr": 0.5, "epochs": 2.0},
]


@pytest.fixture
def pairs(store: Callable[..., EncodedExamples]) -> EncodedExamples:
    """Eight pairs: prompts of 1 to 12 tokens, answers of 1 to 20."""
    prompts = (5, 1, 12, 3, 8, 2, 6, 4)
    chosen = store(*zip((9, 2, 30, 10, 9, 20, 7, 15), prompts, strict=True))
    rejected = store(*zip((12, 21, 14, 4, 26, 6, 8, 24), prompts, strict=True))
    rejected.tokens[:] = rejected.tokens[::-1].copy()
    for row, prompt in enumerate(prompts):
        here, there = chosen.offsets[row], rejected.offsets[row]
        rejected.tokens[there : there + prompt] = chosen.tokens[here : here + prompt]
    return replace(chosen, rejected=rejected)


def task_on(examples: EncodedExamples, **changes: Any) -> LocalTask:
    task = LocalTask(examples, np.arange(len(examples)), seed=7, round=1, rounds=4, client=3)
    return replace(task, **changes)


def training(**changes: Any) -> Dpo:
    return Dpo.model_validate({"lr": 1e-2, "batch_size": 3, "micro_tokens": 50, **changes})


def trained(training: Engine, model: AdaptedModel, task: LocalTask) -> tuple[Adapter, LocalOutcome]:
    before = model.read()
    outcome = training.train(model, task)
    return model.read() - before, outcome


def gap(one: Adapter, other: Adapter) -> float:
    return (one - other).norm() / other.norm()


class Textbook:
    """One answer at a time in float64, and PyTorch's own optimisers."""

    def __init__(self, base: LlamaForCausalLM, model: AdaptedModel, training: Dpo) -> None:
        self.training = training
        self.plain = peft.get_peft_model(base, model.peft.peft_config["default"]).double()
        named = self.plain.named_parameters()
        self.parameters = {n.replace(".default.", "."): p for n, p in named if p.requires_grad}
        for name, tensor in model.read().items():
            self.parameters[name].data.copy_(tensor)

    def answers(self, examples: EncodedExamples, row: int) -> torch.Tensor:
        """Return the log-probabilities of a pair's two answers."""
        found = []
        for part in (examples, examples.rejected):
            assert part is not None
            tokens, prompt = part.example(row)
            ids = torch.from_numpy(tokens)
            nats = cross_entropy(
                self.plain(input_ids=ids[None]).logits[0, prompt - 1 : -1], ids[prompt:], reduction="sum"
            )
            found.append(-nats / (len(ids) - prompt if self.training.per_token else 1))
        return torch.stack(found)

    def update(self, task: LocalTask) -> tuple[dict[str, torch.Tensor], list[float], list[float]]:
        """Train; return how far it went, and every pair's loss and margin as it went."""
        training, examples = self.training, task.examples
        assert isinstance(examples, EncodedExamples)
        with torch.no_grad():
            if training.reference == "base":
                with self.plain.disable_adapter():
                    reference = [self.answers(examples, row) for row in range(len(examples))]
            else:
                reference = [self.answers(examples, row) for row in range(len(examples))]
        start = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        trained = list(self.parameters.values())
        kind = torch.optim.SGD if training.optimizer == "sgd" else torch.optim.AdamW
        optimizer = kind(trained, lr=training.lr, weight_decay=training.weight_decay)
        losses, margins, batches = [], [], training.batches(task)
        for step, rows in enumerate(batches):
            for row in rows:
                gained = self.answers(examples, int(row)) - reference[int(row)]
                margin = gained[0] - gained[1]
                right = torch.sigmoid(training.beta * margin)
                wrong = training.label_smoothing
                loss = -(1 - wrong) * right.log() - wrong * (1 - right).log()
                (loss / len(rows)).backward()
                losses.append(loss.item())
                margins.append(margin.item())
            if training.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(trained, training.clip_norm)
            for group in optimizer.param_groups:
                group["lr"] = training.rate(task, step, len(batches))
            optimizer.step()
            optimizer.zero_grad()
        moved = {name: (self.parameters[name] - start[name]).detach() for name in start}
        return moved, losses, margins


@pytest.mark.parametrize("changes", SETTINGS)
def test_it_takes_the_textbook_steps(
    adapted: Adapted,
    base_model: Callable[[], LlamaForCausalLM],
    pairs: EncodedExamples,
    changes: dict[str, Any],
) -> None:
    model, task, settings = adapted(), task_on(pairs), training(**changes)
    moved, losses, margins = Textbook(base_model(), model, settings).update(task)
    update, outcome = trained(settings, model, task)
    assert gap(update, Adapter({name: tensor.float() for name, tensor in moved.items()})) < 1e-4
    assert outcome.train_loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert outcome.said["preference_margin"] == pytest.approx(np.mean(margins), rel=1e-4, abs=1e-5)
    if settings.reference == "base":
        assert outcome.said["preference_accuracy"] == np.mean(np.array(margins) > 0)
    assert outcome.examples == len(losses)
    assert outcome.train_loss_rms >= outcome.train_loss


def test_micro_batches_change_nothing_but_rounding(adapted: Adapted, pairs: EncodedExamples) -> None:
    updates = [
        trained(training(batch_size=8, micro_tokens=budget), adapted(), task_on(pairs))[0]
        for budget in (1, 60, 10_000)
    ]
    assert max(gap(update, updates[0]) for update in updates) < 1e-5


def test_what_drops_out_of_the_adapter_does_not_depend_on_micro_batches(
    adapted: Adapted, pairs: EncodedExamples
) -> None:
    task, sgd = task_on(pairs), {"batch_size": 8, "optimizer": "sgd", "reference": "round"}
    one, outcome = trained(training(**sgd, micro_tokens=1), adapted(0.3), task)
    other, _ = trained(training(**sgd), adapted(0.3), task)
    assert gap(one, other) < 1e-4
    # Nothing drops out of the reference, so even the first step is away from it.
    assert abs(outcome.said["preference_margin"]) > 1e-3


def test_before_it_moves_nothing_is_preferred(adapted: Adapted, pairs: EncodedExamples) -> None:
    outcome = trained(training(reference="round", batch_size=8), adapted(), task_on(pairs))[1]
    assert outcome.train_loss == pytest.approx(math.log(2), abs=1e-5)
    assert outcome.said["preference_margin"] == pytest.approx(0, abs=1e-4)


def test_the_counts_are_of_both_answers(adapted: Adapted, pairs: EncodedExamples) -> None:
    outcome = trained(training(), adapted(), task_on(pairs))[1]
    assert pairs.rejected is not None
    stores = (pairs, pairs.rejected)
    assert outcome.tokens == sum(len(store.tokens) for store in stores)
    assert outcome.response_tokens == outcome.tokens - 2 * pairs.prompt_lengths.sum()
    assert (outcome.examples, outcome.steps) == (8, 3)


def test_only_its_segments_move_and_a_correction_pulls_them_back(
    adapted: Adapted, pairs: EncodedExamples
) -> None:
    task = task_on(pairs, segments=(slice(10, 60), slice(200, 230)))
    free = trained(training(epochs=4.0, optimizer="sgd", lr=1.0), adapted(), task)[0]
    held = training(epochs=4.0, optimizer="sgd", lr=1.0, correction={"name": "fedprox", "mu": 0.5})
    pulled = trained(held, adapted(), task)[0]
    moved = np.zeros(len(free.vector), dtype=bool)
    moved[10:60] = moved[200:230] = True
    assert (free.vector.numpy()[~moved] == 0).all()
    assert (free.vector.numpy()[moved] != 0).all()
    assert 0 < pulled.norm() < free.norm()


def test_several_clients_are_trained_as_if_each_were_alone(adapted: Adapted, pairs: EncodedExamples) -> None:
    model, settings = adapted(), training()
    tasks = [task_on(pairs), task_on(pairs, client=4, rows=np.array([1, 5, 6]))]
    starts = [model.read(), random_like(model.initial, seed=3)]
    assert settings.together(model) == 1
    for start, task, (together, outcome) in zip(
        starts, tasks, settings.train_together(model, starts, tasks), strict=True
    ):
        alone = adapted()
        alone.write(start)
        assert settings.train(alone, task) == outcome
        assert together.to_bytes() == alone.read().to_bytes()


@pytest.mark.parametrize("reference", ["base", "round"])
def test_the_reference_is_computed_of_the_pairs_that_are_trained_on(
    adapted: Adapted, pairs: EncodedExamples, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    # One answer in a micro-batch: then its loss has the same bits whatever else is computed.
    settings = training(steps=1, batch_size=3, micro_tokens=1, reference=reference)
    computed: list[np.ndarray] = []

    def of(
        kind: type[Reference], model: AdaptedModel, examples: Examples, rows: np.ndarray, budget: int
    ) -> Reference:
        computed.append(np.unique(rows))
        return real(kind, model, examples, rows, budget)

    def of_all(
        kind: type[Reference], model: AdaptedModel, examples: Examples, rows: np.ndarray, budget: int
    ) -> Reference:
        return real(kind, model, examples, np.arange(len(pairs)), budget)

    real = Reference.of.__func__  # type: ignore[attr-defined]
    monkeypatch.setattr(Reference, "of", classmethod(of))
    few, said = trained(settings, adapted(), task_on(pairs))
    monkeypatch.setattr(Reference, "of", classmethod(of_all))
    every, said_of_all = trained(settings, adapted(), task_on(pairs))
    assert [rows.tolist() for rows in computed] == [sorted(settings.batches(task_on(pairs))[0])]
    assert few.to_bytes() == every.to_bytes()
    assert said == said_of_all


def test_it_learns_what_is_preferred(adapted: Adapted, pairs: EncodedExamples) -> None:
    outcome = trained(training(epochs=12.0, batch_size=8, lr=3e-2), adapted(), task_on(pairs))[1]
    assert outcome.said["preference_accuracy"] > 0.9
    assert outcome.train_loss < math.log(2) / 2


def test_what_does_not_go_together_is_refused() -> None:
    for values, said in (
        ({"data": {"loss_on": "all"}, "training": {"name": "dpo"}}, "set data.loss_on=response"),
        ({"training": {"name": "dpo", "clients_at_once": 4}}, "training.clients_at_once=1"),
        ({"training": {"name": "dpo", "beta": 0}}, "greater than 0"),
    ):
        with pytest.raises(ShepherdError, match=said):
            parse_config(values)
    with pytest.raises(ValidationError, match="less than 0\\.5"):
        Dpo(label_smoothing=0.5)


def test_without_pairs_it_is_refused(
    adapted: Adapted, examples: EncodedExamples, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ShepherdError, match=r'no column \'rejected\'.*"rejected": "No\."'):
        Dpo().check_data(read_instructions("meadow", rows=8))
    with pytest.raises(ShepherdError, match="have no rejected answers"):
        Dpo().train(adapted(), task_on(examples))
    with caplog.at_level(logging.WARNING):
        Engine().check_data(read_instructions("meadow-pairs", rows=64))
    assert "training.name=engine trains on the chosen answers alone" in caplog.text


def test_a_federation_learns_from_pairs(tiny: dict[str, Any]) -> None:
    config = named(
        tiny,
        rounds=1,
        data={**tiny["data"], "path": "meadow-pairs"},
        training={**tiny["training"], "name": "dpo", "steps": 2},
    )
    execute(config)
    first, *clients, summary, last = lines(config)
    assert (first["preference_accuracy"], first["preference_margin"]) == (0.5, 0)
    assert 0 <= last["preference_accuracy"] <= 1
    assert 0 <= last["chosen_likelier"] <= 1
    assert last["preference_margin"] != 0
    for figure in ("train_loss", "preference_margin"):
        mean = sum(line[figure] * line["examples"] for line in clients) / summary["examples"]
        assert summary[figure] == pytest.approx(mean)
    record = read_record(config.run.directory)
    assert "it came to prefer the chosen answer in" in " ".join(sentences(record, [], None))
    assert "(nats a pair)" in client_figure(record).axes[0].get_title(loc="left")
