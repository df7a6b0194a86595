"""FedKSeed against the paper's algorithm, written out in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from transformers import LlamaForCausalLM

from shepherd.config import RunConfig
from shepherd.data.encoding import EncodedExamples
from shepherd.model.adapted import AdaptedModel
from shepherd.model.adapter import Adapter
from shepherd.model.base import Base
from shepherd.model.kinds import KSeed
from shepherd.model.seeded_weights import POOL
from shepherd.randomness import generator, torch_generator
from shepherd.training import KSeedTraining, LocalTask

SEEDS = 5
Bases = Callable[[], LlamaForCausalLM]


@pytest.fixture
def seeded(base_model: Bases, tokenizer: Any) -> Callable[..., AdaptedModel]:
    """Build the same base anew, moved along its directions by a pool."""

    def build(pool: list[float] | None = None, **kind: Any) -> AdaptedModel:
        base = Base(base_model(), tokenizer, torch.device("cpu"), "tiny", "")
        model = AdaptedModel(base, KSeed(seeds=SEEDS, **kind), seed=0)
        if pool is not None:
            model.write(Adapter({POOL: torch.tensor(pool)}))
        return model

    return build


def direction(seed: int, name: str, shape: torch.Size) -> torch.Tensor:
    """Draw a direction as the base is moved along it."""
    return torch.randn(shape, generator=torch_generator(0, "kseed", seed, name)).double()


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def mean_loss(model: Any, batch: list[tuple[np.ndarray, int]]) -> float:
    """Return nats per label of a batch, all logits made."""
    total, labels = 0.0, 0
    for tokens, prompt in batch:
        ids = torch.from_numpy(np.asarray(tokens, dtype=np.int64))
        logits, prompt = model(ids[None]).logits[0], max(prompt, 1)
        total += float(
            torch.nn.functional.cross_entropy(logits[prompt - 1 : -1], ids[prompt:], reduction="sum")
        )
        labels += len(ids) - prompt
    return total / labels


@torch.no_grad()
def by_the_paper(base: Any, training: KSeedTraining, task: LocalTask, pool: torch.Tensor) -> torch.Tensor:
    """Return the pool after local training, with the weights made anew for every forward pass."""
    base, pool = copy.deepcopy(base).double(), pool.double().clone()
    own = weights(base)
    batches = training.batches(task)
    drawn = generator(task.seed, "kseed seeds", task.round, task.client).integers(
        len(pool), size=len(batches)
    )

    def loss(extra: float, seed: int, rows: np.ndarray) -> float:
        for name, weight in base.named_parameters():
            weight.copy_(own[name])
            for k, by in enumerate(pool.tolist()):
                weight.add_(direction(k, name, weight.shape), alpha=by + (extra if k == seed else 0.0))
        return mean_loss(base, [task.examples.example(int(row)) for row in rows])

    for seed, rows in zip(drawn.tolist(), batches, strict=True):
        slope = (loss(training.eps, seed, rows) - loss(-training.eps, seed, rows)) / (2 * training.eps)
        pool[seed] -= training.lr * slope
    return pool


def test_the_pool_is_the_papers(base_model: Bases, seeded: Any, examples: EncodedExamples) -> None:
    training = KSeedTraining(lr=1e-3, eps=1e-2, steps=6, batch_size=2)
    task = LocalTask(examples, np.array([0, 2, 4, 7]), seed=3, round=1, rounds=2, client=4)
    start = [0.01, 0.0, -0.02, 0.0, 0.005]
    expected = by_the_paper(base_model(), training, task, torch.tensor(start))
    model = seeded(start)
    outcome = training.train(model, task)
    found = model.read()[POOL].double()
    moved = expected - torch.tensor(start).double()
    assert float((found - expected).norm()) < 1e-2 * float(moved.norm())
    assert (outcome.steps, outcome.examples) == (6, 12)
    assert 0 < outcome.train_loss < 20


def test_the_weights_are_the_bases_and_the_pool_times_the_directions(base_model: Bases, seeded: Any) -> None:
    pool = [0.01, 0.0, -0.02, 0.0, 0.005]
    found = weights(seeded(pool).base.model)
    for name, own in weights(base_model()).items():
        expected = own.double() + sum(by * direction(k, name, own.shape) for k, by in enumerate(pool))
        torch.testing.assert_close(found[name].double(), expected, rtol=1e-6, atol=1e-7)


def test_the_bits_of_the_weights_depend_on_the_pool_alone(seeded: Any, examples: EncodedExamples) -> None:
    one, other = [0.01, 0.0, -0.02, 0.0, 0.005], [0.0, 0.03, 0.0, 0.0, 0.0]
    model = seeded(other)
    KSeedTraining(lr=1e-3, steps=2).train(model, LocalTask(examples, np.arange(4), 0, 0, 1, 0))
    model.write(Adapter({POOL: torch.tensor(one)}))
    fresh = weights(seeded(one).base.model)
    assert all(torch.equal(weight, fresh[name]) for name, weight in weights(model.base.model).items())


def test_the_mean_of_pools_is_the_mean_of_models(seeded: Any) -> None:
    one, other = [0.01, 0.0, -0.02, 0.0, 0.005], [0.0, 0.03, 0.0, 0.01, 0.0]
    mean = weights(seeded([(a + b) / 2 for a, b in zip(one, other, strict=True)]).base.model)
    first, second = weights(seeded(one).base.model), weights(seeded(other).base.model)
    for name, weight in mean.items():
        torch.testing.assert_close(weight, (first[name] + second[name]) / 2, rtol=1e-5, atol=1e-6)


def test_only_the_chosen_weights_move(base_model: Bases, seeded: Any) -> None:
    found = weights(seeded([0.1] * SEEDS, only=["*q_proj*"]).base.model)
    moved = {name for name, own in weights(base_model()).items() if not torch.equal(own, found[name])}
    assert moved == {name for name in found if "q_proj" in name}


def test_a_batch_without_a_label_moves_nothing(seeded: Any, store: Any) -> None:
    model = seeded()
    outcome = KSeedTraining(steps=2).train(model, LocalTask(store((4, 4), (5, 5)), np.arange(2), 0, 0, 1, 0))
    assert not model.read()[POOL].any()
    assert outcome.train_loss == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"adapter": "kseed"}, r"adapter.name=kseed is trained by training.name=kseed, not by engine"),
        ({"training": "kseed"}, r"training.name=kseed trains adapter.name=kseed, not lora"),
        (
            {"training": {"name": "kseed", "momentum": 0.9}, "adapter": "kseed"},
            r"no use for training.momentum",
        ),
        ({"training": {"name": "kseed", "optimizer": "adamw"}, "adapter": "kseed"}, r"'sgd'"),
        (
            {"adapter": "kseed", "training": "kseed", "aggregation": "ffa"},
            r"needs an adapter of LoRA's A and B",
        ),
        ({"adapter": "dora", "aggregation": "flora"}, r"needs an adapter of LoRA's A and B"),
        ({"adapter": "full", "model": {"quantisation": "8bit"}}, r"which a 8bit base cannot take"),
        ({"adapter": {"layers": [0], "targets": ".*q"}}, r"layers needs targets to be all-linear"),
        ({"adapter": {"name": "ia3", "targets": ["q"]}}, r"targets and feedforward are given together"),
        ({"adapter": {"name": "prefix", "hidden": 4}}, r"set projection: true"),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        RunConfig.model_validate(changes)
