"""The fast engine: a plain PyTorch loop that spends nothing on padding or on unlabelled logits.

It knows batches, losses and optimiser steps. It does not know rounds' business, other clients or disks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import Field

from shepherd.model.batch import Batch, Examples, make_batch
from shepherd.randomness import torch_seed
from shepherd.training.base import LocalOutcome, LocalTask, Training

if TYPE_CHECKING:
    from shepherd.model.adapted import AdaptedModel

#: Padded tokens in a micro-batch, by kind of device.
_BUDGETS = {"cpu": 1024}


class Engine(Training):
    """The default trainer.

    Inside an optimiser batch rows are sorted by length and cut into micro-batches of a bounded number
    of padded tokens; the loss is the sum over labels divided by the batch's number of labels, so the
    gradient is the whole batch's whatever the cut.

    Attributes
    ----------
    micro_tokens : int, optional
        Padded tokens in a micro-batch, at most (one example may be longer). Unless told, 1,024 on a CPU,
        where small activations stay in cache and with the allocator, and 16,384 on a GPU.
    """

    name: str = "engine"
    micro_tokens: int | None = Field(None, gt=0)

    def train(self, model: AdaptedModel, task: LocalTask) -> LocalOutcome:
        """Train the adapter in `model` on `task` and say what was done."""
        batches, budget = self.batches(task), self.micro_tokens or _BUDGETS.get(model.device.type, 16384)
        optimizer = self.build_optimizer(model, task)
        tokens = labels = 0
        loss_sum = torch.zeros((), dtype=torch.float64)
        with training_mode(model, task):
            for step, rows in enumerate(batches):
                for group in optimizer.param_groups:
                    group["lr"] = self.rate(task, step, len(batches))
                micros = [
                    make_batch(task.examples, part, model.device)
                    for part in micro_batches(task.examples, rows, budget)
                ]
                loss_sum += self._step(model, optimizer, micros)
                labels += sum(len(micro.targets) for micro in micros)
                tokens += sum(len(task.examples.example(int(row))[0]) for row in rows)
        return LocalOutcome(
            examples=sum(map(len, batches)),
            tokens=tokens,
            response_tokens=labels,
            steps=len(batches),
            train_loss=float(loss_sum) / max(labels, 1),
            state=self.kept_state(model, task, optimizer),
        )

    def _step(
        self, model: AdaptedModel, optimizer: torch.optim.Optimizer, micros: list[Batch]
    ) -> torch.Tensor:
        """Take one optimiser step and return the batch's summed loss, in nats."""
        labels = max(1, sum(len(micro.targets) for micro in micros))
        total = torch.zeros((), dtype=torch.float64)
        for micro in micros:
            loss = model.token_losses(micro).sum()
            (loss / labels).backward()
            total += loss.detach().double().cpu()
        if self.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(list(model.parameters.values()), self.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return total


def micro_batches(examples: Examples, rows: np.ndarray, budget: int) -> Iterator[np.ndarray]:
    """Cut rows, longest first, into groups whose padded size stays within `budget` tokens."""
    lengths = np.array([len(examples.example(int(row))[0]) for row in rows])
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, budget // int(lengths[order[start]]))
        yield rows[order[start : start + size]]
        start += size


def dropout_seed(task: LocalTask) -> int:
    """Return the seed of what drops out in this client's round."""
    return torch_seed(task.seed, "dropout", task.round, task.client)


@contextmanager
def training_mode(model: AdaptedModel, task: LocalTask) -> Iterator[None]:
    """Training mode, with dropout drawn from the client's own address and no trace left behind."""
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(dropout_seed(task))
        model.peft.train()
        try:
            yield
        finally:
            model.peft.eval()
