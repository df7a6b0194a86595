from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import peft
import pytest
import torch
from transformers import LlamaForCausalLM

from shepherd.data.encoding import EncodedExamples
from shepherd.errors import ShepherdError
from shepherd.model.adapted import AdaptedModel
from shepherd.model.adapter import Adapter
from shepherd.model.batch import Batch, load
from shepherd.model.losses import example_losses
from shepherd.training import Engine, LocalOutcome, LocalTask, Training, TransformersTraining
from shepherd.training.corrections import FedProx

Adapted = Callable[..., AdaptedModel]
Store = Callable[..., EncodedExamples]

SETTINGS: list[dict[str, Any]] = [
    {"optimizer": "adamw", "weight_decay": 0.1, "epochs": 2.0},
    {"optimizer": "adam", "betas": (0.8, 0.95), "lr_schedule": "cosine", "epochs": 1.6},
    {"optimizer": "adam", "weight_decay": 0.01, "lr_schedule": "linear", "steps": 5, "clip_norm": 0.05},
    {"optimizer": "sgd", "lr": 0.3, "lr_schedule": "linear", "lr_floor": 0.2, "epochs": 0.5},
    {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "clip_norm": 0.3, "weight_decay": 0.05, "steps": 4},
    {"optimizer": "adamw", "lr_schedule": "cosine", "lr_span": "run", "lr_floor": 0.1, "clip_norm": 1.0},
]


@pytest.fixture
def limited() -> Callable[[int], Any]:
    """Give a block of code so many of torch's threads."""

    @contextmanager
    def block(threads: int) -> Iterator[None]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    return block


def task_on(examples: EncodedExamples, **changes: Any) -> LocalTask:
    task = LocalTask(examples, np.arange(len(examples)), seed=7, round=1, rounds=4, client=3)
    return replace(task, **changes)


def trained(training: Training, model: AdaptedModel, task: LocalTask) -> tuple[Adapter, LocalOutcome]:
    before = model.read()
    outcome = training.train(model, task)
    return model.read() - before, outcome


def gap(one: Adapter, other: Adapter) -> float:
    return (one - other).norm() / other.norm()


def closed_form_rate(training: Training, task: LocalTask, step: int, steps: int) -> float:
    done = step / steps if training.lr_span == "round" else (task.round + step / steps) / task.rounds
    shape = {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 + 0.5 * math.cos(math.pi * done)}
    floor = training.lr * training.lr_floor
    return floor + (training.lr - floor) * shape[training.lr_schedule]


def plain_optimizer(training: Training, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    if training.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=training.momentum, weight_decay=training.weight_decay)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[training.optimizer]
    return kind(parameters, betas=training.betas, weight_decay=training.weight_decay)


def plain_update(base: LlamaForCausalLM, model: AdaptedModel, training: Training, task: LocalTask) -> Adapter:
    """Train PEFT's own model the textbook way: one masked, padded forward pass per optimiser batch."""
    plain = peft.get_peft_model(base, model.peft.peft_config["default"])
    parameters = {n.replace(".default.", "."): p for n, p in plain.named_parameters() if p.requires_grad}
    for name, tensor in model.read().items():
        parameters[name].data.copy_(tensor)
    optimizer = plain_optimizer(training, list(parameters.values()))
    batches = training.batches(task)
    for step, rows in enumerate(batches):
        pairs = [task.examples.example(int(row)) for row in rows]
        ids = torch.zeros(len(pairs), max(len(tokens) for tokens, _ in pairs), dtype=torch.long)
        mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
        for i, (tokens, prompt) in enumerate(pairs):
            ids[i, : len(tokens)] = torch.tensor(tokens)
            mask[i, : len(tokens)] = 1
            labels[i, prompt : len(tokens)] = torch.tensor(tokens[prompt:])
        logits = plain(input_ids=ids, attention_mask=mask).logits[:, :-1]
        wanted = labels[:, 1:]
        summed = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), wanted.flatten(), ignore_index=-100, reduction="sum"
        )
        (summed / (wanted != -100).sum()).backward()
        if training.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(list(parameters.values()), training.clip_norm)
        for group in optimizer.param_groups:
            group["lr"] = closed_form_rate(training, task, step, len(batches))
        optimizer.step()
        optimizer.zero_grad()
    return Adapter(parameters) - model.read()


@pytest.mark.parametrize("changes", SETTINGS)
def test_the_engine_takes_the_textbook_steps(
    adapted: Adapted,
    base_model: Callable[[], LlamaForCausalLM],
    examples: EncodedExamples,
    changes: dict[str, Any],
) -> None:
    training = Engine.model_validate({"lr": 1e-2, "batch_size": 4, "micro_tokens": 40, **changes})
    model, task = adapted(), task_on(examples)
    expected = plain_update(base_model(), model, training, task)
    update, _ = trained(training, model, task)
    assert gap(update, expected) < 1e-5


@pytest.mark.parametrize("changes", SETTINGS)
def test_trainer_and_engine_take_the_same_steps(
    adapted: Adapted, examples: EncodedExamples, changes: dict[str, Any]
) -> None:
    both = {"lr": 1e-2, "batch_size": 4, **changes}
    task = task_on(examples)
    trainer = TransformersTraining.model_validate({**both, "micro_batch_size": 3})
    expected, theirs = trained(trainer, adapted(), task)
    update, ours = trained(Engine.model_validate(both), adapted(), task)
    assert gap(update, expected) < 1e-4
    for count in ("examples", "tokens", "response_tokens", "steps"):
        assert getattr(ours, count) == getattr(theirs, count)


def test_micro_batches_change_nothing_but_rounding(adapted: Adapted, examples: EncodedExamples) -> None:
    task = task_on(examples)
    updates = [
        trained(Engine(lr=1e-2, batch_size=6, micro_tokens=budget), adapted(), task)[0]
        for budget in (1, 35, 10_000)
    ]
    assert max(gap(update, updates[0]) for update in updates) < 1e-5


@pytest.mark.parametrize("changes", SETTINGS)
def test_shared_prefixes_change_nothing_but_rounding(
    changes: dict[str, Any], adapted: Adapted, families: EncodedExamples
) -> None:
    task, settings = task_on(families), {"lr": 1e-2, "batch_size": 8, "micro_tokens": 60, **changes}
    shared, whole = adapted(), adapted()
    shared.prefix_cost = 0
    update, outcome = trained(Engine(**settings), shared, task)
    expected, alone = trained(Engine(**settings, share_prefixes=False), whole, task)
    assert gap(update, expected) < 1e-5
    assert outcome.train_loss == pytest.approx(alone.train_loss, rel=1e-5)
    assert outcome.train_loss_rms == pytest.approx(alone.train_loss_rms, rel=1e-5)
    exact = {"train_loss": 0.0, "train_loss_rms": 0.0}
    assert replace(outcome, **exact) == replace(alone, **exact)


def test_clients_at_once_share_a_prefix_each_under_its_own_adapter(
    adapted: Adapted, families: EncodedExamples
) -> None:
    model = adapted()
    model.prefix_cost = 0
    # Adam would magnify rounding where a gradient is nearly zero.
    settings = {"lr": 0.1, "batch_size": 4, "optimizer": "sgd"}
    training = Engine.model_validate({**settings, "micro_tokens": 60})
    whole = Engine.model_validate({**settings, "share_prefixes": False})
    # One family: what they all begin with is six tokens and more.
    tasks = [task_on(families, client=i, rows=np.arange(0, 12, 2)[i:]) for i in range(3)]
    draw = torch.Generator().manual_seed(5)
    starts = [model.initial.map(lambda t: 0.1 * torch.randn(t.shape, generator=draw)) for _ in tasks]
    together = list(training.train_together(model, starts, tasks))
    for start, task, (adapter, _) in zip(starts, tasks, together, strict=True):
        model.write(start)
        assert gap(adapter - start, trained(whole, model, task)[0]) < 1e-5


def test_ranks_padded_with_zeros_stay_zero_beside_full_ones(
    adapted: Adapted, examples: EncodedExamples
) -> None:
    def low(name: str, tensor: torch.Tensor) -> torch.Tensor:
        padded = tensor.clone()
        (padded[2:] if "lora_A" in name else padded[:, 2:]).zero_()
        return padded

    model, training = adapted(), Engine(lr=1e-2, batch_size=4, weight_decay=0.1)
    start = model.read()
    padded = Adapter({name: low(name, tensor) for name, tensor in start.items()})
    tasks = [task_on(examples, client=i) for i in range(2)]
    (_, (trained_low, _)) = training.train_together(model, [start, padded], tasks)
    assert all(torch.equal(low(name, tensor), tensor) for name, tensor in trained_low.items())
    assert (trained_low - padded).norm() > 0


@pytest.mark.parametrize("threads", [2, 4])
def test_lanes_change_no_bit(
    adapted: Adapted, families: EncodedExamples, threads: int, limited: Callable[[int], Any]
) -> None:
    task, training = task_on(families), Engine(lr=1e-2, batch_size=7, micro_tokens=1, share_prefixes=False)
    with limited(1):
        alone, _ = trained(training, adapted(), task)
    with limited(threads):
        side_by_side, _ = trained(training, adapted(), task)
    assert side_by_side.to_bytes() == alone.to_bytes()


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_what_is_forgotten_and_computed_again_is_the_same(
    adapted: Adapted, families: EncodedExamples, dropout: float
) -> None:
    task, settings = task_on(families), {"lr": 1e-2, "batch_size": 8, "micro_tokens": 60}
    kept, again = adapted(dropout), adapted(dropout)
    if not dropout:
        kept.prefix_cost = again.prefix_cost = 0
    expected, _ = trained(Engine.model_validate(settings), kept, task)
    update, _ = trained(Engine.model_validate({**settings, "recompute": True}), again, task)
    assert update.to_bytes() == expected.to_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_layers_change_nothing_but_rounding(
    adapted: Adapted, families: EncodedExamples, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    task, settings = task_on(families), {"lr": 1e-2, "batch_size": 8, "micro_tokens": 60}
    plain, compiled = adapted(), adapted()
    plain.prefix_cost = compiled.prefix_cost = 0
    expected, _ = trained(Engine.model_validate(settings), plain, task)
    assert compiled.compiles
    update, _ = trained(Engine.model_validate({**settings, "compile": True}), compiled, task)
    assert gap(update, expected) < 1e-4


def test_a_base_that_cannot_be_compiled_trains_as_it_is(
    adapted: Adapted, examples: EncodedExamples, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no compiler found")

    monkeypatch.setattr(torch, "compile", broken)
    update, _ = trained(Engine(lr=1e-2, batch_size=4, compile=True), adapted(), task_on(examples))
    expected, _ = trained(Engine(lr=1e-2, batch_size=4), adapted(), task_on(examples))
    assert update.to_bytes() == expected.to_bytes()
    assert "cannot be compiled here (no compiler found)" in caplog.text


@pytest.mark.parametrize("changes", SETTINGS)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_clients_at_once_train_as_if_alone(
    changes: dict[str, Any], dropout: float, adapted: Adapted, examples: EncodedExamples
) -> None:
    training = Engine.model_validate(
        {"lr": 1e-2, "batch_size": 3, "micro_tokens": 90, "share_prefixes": False, **changes}
    )
    tasks = [task_on(examples, client=i, rows=np.arange(i, 11, i + 1)) for i in range(4)]
    model = adapted(dropout)
    draw = torch.Generator().manual_seed(5)
    starts = [model.initial.map(lambda t: 0.1 * torch.randn(t.shape, generator=draw)) for _ in tasks]
    together = list(training.train_together(model, starts, tasks))
    for start, task, (adapter, outcome) in zip(starts, tasks, together, strict=True):
        model.write(start)
        expected, alone = trained(training, model, task)
        assert gap(adapter - start, expected) < 1e-5
        assert outcome.train_loss == pytest.approx(alone.train_loss, rel=1e-5)
        assert (outcome.examples, outcome.tokens, outcome.steps) == (
            alone.examples,
            alone.tokens,
            alone.steps,
        )


def test_stateful_clients_at_once_go_on_as_if_alone(adapted: Adapted, examples: EncodedExamples) -> None:
    training, model = Engine(lr=1e-2, batch_size=4, stateful=True), adapted()
    tasks = [task_on(examples, client=i, rows=np.arange(3 + 2 * i)) for i in range(3)]
    starts = [model.read()] * 3
    alone = [next(training.train_together(model, [s], [t])) for s, t in zip(starts, tasks, strict=True)]
    together = list(training.train_together(model, starts, tasks))
    for (one, first), (other, second) in zip(alone, together, strict=True):
        assert gap(one, other) < 1e-5
        assert first.state["examples_seen"] == second.state["examples_seen"]
        for key, moment in first.state["optimizer"]["adapter"].items():
            torch.testing.assert_close(
                moment, second.state["optimizer"]["adapter"][key], rtol=1e-4, atol=1e-7
            )


def test_dropout_is_the_same_however_the_batch_is_cut(adapted: Adapted, examples: EncodedExamples) -> None:
    updates = [
        trained(Engine(lr=1e-2, batch_size=6, micro_tokens=budget), adapted(dropout=0.3), task_on(examples))[
            0
        ]
        for budget in (1, 35, 10_000)
    ]
    assert max(gap(update, updates[0]) for update in updates) < 1e-5


def test_fedprox_adds_its_terms_gradient(adapted: Adapted, examples: EncodedExamples) -> None:
    # One SGD step of rate r without a pull, then one with it: y2 = y1 - r (g(y1) + mu (y1 - x)).
    task, rate, mu = task_on(examples), 0.05, 0.7
    plain = Engine(lr=rate, optimizer="sgd", batch_size=11, steps=2)
    held = Engine(lr=rate, optimizer="sgd", batch_size=11, steps=2, correction=FedProx(mu=mu))
    first, _ = trained(Engine(lr=rate, optimizer="sgd", batch_size=11, steps=1), adapted(), task)
    free, _ = trained(plain, adapted(), task)
    pulled, _ = trained(held, adapted(), task)
    assert gap(pulled, free - rate * mu * first) < 1e-5


def test_a_stack_trains_with_fedprox_as_if_alone(adapted: Adapted, examples: EncodedExamples) -> None:
    training, model = Engine(lr=1e-2, batch_size=2, correction=FedProx(mu=0.5)), adapted()
    tasks = [task_on(examples, client=i, rows=np.arange(4 + i)) for i in range(3)]
    start = model.read()
    together = list(training.train_together(model, [start] * 3, tasks))
    for task, (adapter, _) in zip(tasks, together, strict=True):
        model.write(start)
        assert gap(adapter - start, trained(training, model, task)[0]) < 1e-5


def test_out_of_memory_means_fewer_at_once_then_smaller_batches_then_one_sentence(
    adapted: Adapted, examples: EncodedExamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, model = Engine(lr=1e-2, batch_size=6, micro_tokens=400, share_prefixes=False), adapted()
    tasks = [task_on(examples, client=i) for i in range(4)]
    starts = [model.read()] * 4
    expected = list(training.train_together(model, starts, tasks))
    compute, room = model.token_losses, 100

    def in_little_memory(batch: Batch, prefix: Any = None) -> torch.Tensor:
        if batch.tokens.numel() > room:
            raise torch.OutOfMemoryError("out of memory")
        return compute(batch, prefix)

    monkeypatch.setattr(model, "token_losses", in_little_memory)
    for (adapter, outcome), (wanted, alone) in zip(
        training.train_together(model, starts, tasks), expected, strict=True
    ):
        assert gap(adapter, wanted) < 1e-5
        assert outcome.train_loss == pytest.approx(alone.train_loss, rel=1e-5)
    assert (model.most_clients, model.most_tokens) == (1, 100)
    room = 20
    with pytest.raises(ShepherdError, match="one example of 30 tokens does not fit"):
        list(training.train_together(model, starts, tasks))


def test_a_base_that_drops_out_trains_one_client_at_a_time(adapted: Adapted) -> None:
    model = adapted()
    assert Engine(clients_at_once=4).together(model) == 4
    model.carries_stacks = False
    assert Engine(clients_at_once=4).together(model) == 1


def test_what_drops_out_is_never_shared(adapted: Adapted) -> None:
    assert Engine().chosen(adapted())["shares_prefixes"]
    assert not Engine().chosen(adapted(dropout=0.1))["shares_prefixes"]


def test_the_same_seed_gives_the_same_bits(adapted: Adapted, examples: EncodedExamples) -> None:
    training, task = Engine(lr=1e-2, batch_size=4), task_on(examples)
    (one, first), (other, second) = (trained(training, adapted(), task) for _ in range(2))
    assert one.to_bytes() == other.to_bytes()
    assert first == second


def test_dropout_repeats_with_its_address(adapted: Adapted, store: Store) -> None:
    training, task = Engine(lr=1e-2, batch_size=1), task_on(store((20, 5)))
    first, again, elsewhere, later = (
        trained(training, adapted(dropout=0.3), there)[0].to_bytes()
        for there in (task, task, replace(task, client=4), replace(task, round=2))
    )
    assert first == again
    assert len({first, elsewhere, later}) == 3


def test_clients_of_trainer_drop_out_apart(adapted: Adapted, store: Store) -> None:
    training, task = TransformersTraining(lr=1e-2, batch_size=1), task_on(store((20, 5)))
    one, other = (
        trained(training, adapted(dropout=0.3), replace(task, client=client))[0] for client in (3, 4)
    )
    assert one.to_bytes() != other.to_bytes()


def test_dropout_leaves_the_global_generator_alone(adapted: Adapted, examples: EncodedExamples) -> None:
    model = adapted(dropout=0.3)
    before = torch.get_rng_state()
    Engine(batch_size=4).train(model, task_on(examples))
    assert torch.equal(torch.get_rng_state(), before)


def test_trainer_leaves_the_global_generators_alone(adapted: Adapted, examples: EncodedExamples) -> None:
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    model, before = adapted(), torch.get_rng_state()
    TransformersTraining(batch_size=4).train(model, task_on(examples))
    assert torch.equal(torch.get_rng_state(), before)
    assert random.random() == random.Random(5).random()
    assert np.random.random() == np.random.RandomState(5).random()  # noqa: NPY002


@pytest.mark.parametrize("kind", [Engine, TransformersTraining])
def test_the_model_is_left_in_evaluation_mode(
    adapted: Adapted, examples: EncodedExamples, kind: type[Training]
) -> None:
    model = adapted(dropout=0.3)
    kind(batch_size=4).train(model, task_on(examples))
    assert not any(module.training for module in model.peft.modules())


@pytest.mark.parametrize("optimizer", [{"optimizer": "adamw"}, {"optimizer": "sgd", "momentum": 0.9}])
def test_a_stateful_client_goes_on_as_if_never_interrupted(
    adapted: Adapted, examples: EncodedExamples, optimizer: dict[str, Any]
) -> None:
    plain = {"lr": 1e-2, "batch_size": 4, "stateful": True, **optimizer}
    whole, _ = trained(Engine.model_validate({**plain, "steps": 6}), adapted(), task_on(examples, round=0))
    training, model, task = Engine.model_validate({**plain, "steps": 3}), adapted(), task_on(examples)
    outcome = training.train(model, replace(task, round=0))
    training.train(model, replace(task, round=1, state=outcome.state))
    assert (model.read() - adapted().read()).to_bytes() == whole.to_bytes()


def test_a_stateful_client_keeps_its_moments_in_trainer_too(
    adapted: Adapted, examples: EncodedExamples
) -> None:
    both = {"lr": 1e-2, "batch_size": 4, "steps": 3, "stateful": True}
    results = []
    for training in (Engine.model_validate(both), TransformersTraining.model_validate(both)):
        model = adapted()
        state: Mapping[str, Any] = {}
        for round in range(2):
            state = training.train(model, task_on(examples, round=round, state=state)).state
        results.append((model.read() - adapted().read(), state))
    (ours, our_state), (theirs, their_state) = results
    assert gap(ours, theirs) < 1e-4
    assert our_state["examples_seen"] == their_state["examples_seen"] == 24
    assert their_state["optimizer"].keys() == ours.keys()


def test_a_stateless_client_keeps_nothing(adapted: Adapted, examples: EncodedExamples) -> None:
    assert Engine().train(adapted(), task_on(examples)).state == {}


def test_what_was_done_is_counted(adapted: Adapted, examples: EncodedExamples) -> None:
    outcome = Engine(batch_size=4, epochs=2).train(adapted(), task_on(examples))
    lengths = examples.lengths()
    assert (outcome.examples, outcome.steps) == (22, 6)
    assert outcome.tokens == 2 * lengths.sum()
    assert outcome.response_tokens == 2 * (lengths - examples.prompt_lengths).sum()


def test_the_train_loss_is_the_mean_over_labels(adapted: Adapted, examples: EncodedExamples) -> None:
    outcome = Engine(lr=1e-12, batch_size=3).train(adapted(), task_on(examples))
    whole = Engine(lr=1e-12, batch_size=99).train(adapted(), task_on(examples))
    assert outcome.train_loss == pytest.approx(whole.train_loss, rel=1e-6)


@pytest.mark.parametrize("kind", [Engine, TransformersTraining])
def test_the_rms_is_over_examples_of_their_batches_mean_losses(
    adapted: Adapted, examples: EncodedExamples, kind: type[Training]
) -> None:
    task, settings = task_on(examples), {"lr": 1e-12, "batch_size": 3}
    training, model = kind.model_validate(settings), adapted()
    batches = training.batches(task)
    # At such a rate the adapter stays what it is, so each batch can be looked at alone.
    means = [example_losses(model, load(examples, rows)).mean for rows in batches]
    squares = sum(len(rows) * mean**2 for rows, mean in zip(batches, means, strict=True))
    expected = math.sqrt(squares / sum(map(len, batches)))
    assert kind.model_validate(settings).train(adapted(), task).train_loss_rms == pytest.approx(
        expected, rel=1e-5
    )


def test_padding_is_never_learned_from(adapted: Adapted, store: Store) -> None:
    examples = store((4, 2), (30, 2))
    together = Engine(lr=1e-12, batch_size=2, micro_tokens=1000).train(adapted(), task_on(examples))
    apart = Engine(lr=1e-12, batch_size=1).train(adapted(), task_on(examples))
    assert together.train_loss == pytest.approx(apart.train_loss, rel=1e-6)


@pytest.mark.parametrize("kind", [Engine, TransformersTraining])
def test_an_example_without_a_label_changes_nothing(
    adapted: Adapted, store: Store, kind: type[Training]
) -> None:
    examples = store((12, 5), (9, 9), (1, 0), (20, 8))
    with_them, outcome = trained(kind(lr=1e-2, batch_size=4), adapted(), task_on(examples))
    without, _ = trained(kind(lr=1e-2, batch_size=4), adapted(), task_on(examples, rows=np.array([0, 3])))
    assert gap(with_them, without) < 1e-4
    assert outcome.response_tokens == 7 + 12


@pytest.mark.parametrize("kind", [Engine, TransformersTraining])
def test_a_batch_without_any_label_teaches_nothing(
    adapted: Adapted, store: Store, kind: type[Training]
) -> None:
    update, outcome = trained(kind(lr=1e-2, batch_size=2), adapted(), task_on(store((9, 9), (4, 4))))
    assert update.norm() == 0
    assert outcome.train_loss == 0


def test_divergence_shows_in_the_adapter_and_the_loss(adapted: Adapted, store: Store) -> None:
    training = Engine(lr=1e30, optimizer="sgd", batch_size=1, steps=4)
    update, outcome = trained(training, adapted(), task_on(store((12, 5), (9, 3))))
    assert not math.isfinite(update.norm())
    assert not math.isfinite(outcome.train_loss)


def test_divergence_shows_in_trainers_loss(adapted: Adapted, store: Store) -> None:
    training = TransformersTraining(lr=1e30, optimizer="sgd", batch_size=1, steps=4)
    update, outcome = trained(training, adapted(), task_on(store((12, 5), (9, 3))))
    assert not math.isfinite(update.norm())
    assert not math.isfinite(outcome.train_loss)


def test_trainers_train_loss_is_the_mean_over_labels(adapted: Adapted, store: Store) -> None:
    both = {"lr": 1e-12, "batch_size": 1}
    task = task_on(store((30, 2), (5, 4)))
    ours = Engine.model_validate(both).train(adapted(), task).train_loss
    theirs = TransformersTraining.model_validate(both).train(adapted(), task).train_loss
    assert theirs == pytest.approx(ours, rel=1e-5)
