"""A step shared by several processes is the step of one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from shepherd.data.encoding import EncodedExamples
from shepherd.errors import ShepherdError
from shepherd.model.adapted import AdaptedModel
from shepherd.model.adapter import Adapter
from shepherd.processes import ProcessLost
from shepherd.training import Engine, LocalTask
from shepherd.training import shared_engine as shared
from shepherd.training.shared_engine import OutOfMemoryTogether, SharedEngine
from side_by_side import SideBySide

Adapted = Callable[..., AdaptedModel]


def trained_by_two(
    models: list[AdaptedModel], engine: Engine, task: LocalTask
) -> list[tuple[Adapter | BaseException, float]]:
    """Train in two threads, each with its own model; return what each came to."""
    meeting, table, found = threading.Barrier(2, timeout=60), {}, {}
    threads = torch.get_num_threads()

    def run(rank: int) -> None:
        """Be one of the two."""
        torch.set_num_threads(threads)
        processes = SideBySide(rank, 2, meeting=meeting, table=table)
        try:
            model = models[rank]
            ((adapter, outcome),) = SharedEngine.of(engine, processes).train_together(
                model, [model.initial], [task]
            )
            found[rank] = (adapter, outcome.train_loss)
        except Exception as error:
            found[rank] = (error, 0.0)

    both = [threading.Thread(target=run, args=(rank,)) for rank in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    return [found[rank] for rank in range(2)]


def task_on(examples: EncodedExamples) -> LocalTask:
    return LocalTask(examples, np.arange(len(examples)), seed=7, round=1, rounds=4, client=3)


@pytest.mark.parametrize(
    ("dropout", "values"),
    [
        (0.0, {"batch_size": 5, "clip_norm": 0.05, "micro_tokens": 40}),
        (0.2, {"batch_size": 6, "optimizer": "sgd", "lr": 0.3}),
        (0.0, {"batch_size": 1}),  # there is nothing for the second of them to do
    ],
)
def test_two_processes_take_the_steps_of_one(
    adapted: Adapted, families: EncodedExamples, dropout: float, values: dict[str, Any]
) -> None:
    engine, task, alone = Engine(**values), task_on(families), adapted(dropout)
    ((wanted, outcome),) = engine.train_together(alone, [alone.initial], [task])
    (one, loss), (other, same_loss) = trained_by_two([adapted(dropout), adapted(dropout)], engine, task)
    assert isinstance(one, Adapter)
    assert isinstance(other, Adapter)
    assert one.to_bytes() == other.to_bytes()
    assert loss == same_loss == pytest.approx(outcome.train_loss, rel=1e-6)
    assert (one - wanted).norm() < 1e-5 * (wanted - alone.initial).norm()


def test_who_runs_out_of_memory_tells_the_others(
    adapted: Adapted, examples: EncodedExamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    scarce, plenty = adapted(), adapted()
    whole = shared.add_gradients

    def add_gradients(model: AdaptedModel, *rest: Any) -> torch.Tensor:
        """Have room for 64 tokens in one of the two."""
        if model is scarce and rest[2] > 64:
            raise torch.OutOfMemoryError
        return whole(model, *rest)

    monkeypatch.setattr(shared, "add_gradients", add_gradients)
    (one, _), (other, _) = trained_by_two([plenty, scarce], Engine(batch_size=6), task_on(examples))
    assert isinstance(one, Adapter)
    assert isinstance(other, Adapter)
    assert one.to_bytes() == other.to_bytes()
    assert scarce.most_tokens == plenty.most_tokens == 64
    assert issubclass(OutOfMemoryTogether, torch.OutOfMemoryError)


def test_processes_that_come_to_different_adapters_stop(adapted: Adapted, examples: EncodedExamples) -> None:
    odd = adapted()
    odd.base.model.lm_head.weight.data[:8].mul_(3)
    odd.write = lambda adapter: None  # type: ignore[method-assign]
    odd.vector.add_(1)
    for found, _ in trained_by_two([adapted(), odd], Engine(batch_size=6), task_on(examples)):
        assert isinstance(found, ProcessLost)
        assert isinstance(found, ShepherdError)
        assert "to different adapters" in str(found)
