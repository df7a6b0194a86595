"""The fast engine: a plain PyTorch loop that spends nothing on padding or on unlabelled logits.

It knows batches, losses and optimiser steps. It does not know rounds' business, other clients or disks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from pydantic import Field

from shepherd.model.batch import Examples, make_batch
from shepherd.model.micro_batches import MicroBatches, plan
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
    share_prefixes : bool
        Compute what rows of a batch begin with once, where that is less work and the base allows it.
    """

    name: str = "engine"
    micro_tokens: int | None = Field(None, gt=0)
    share_prefixes: bool = True

    def train(self, model: AdaptedModel, task: LocalTask) -> LocalOutcome:
        """Train the adapter in `model` on `task` and say what was done."""
        batches = self.batches(task)
        budget = self.micro_tokens or _BUDGETS.get(model.device.type, 16384)
        prefix_cost = model.prefix_cost if self.share_prefixes else None
        optimizer = self.build_optimizer(model, task)
        tokens = labels = 0
        loss_sum = torch.zeros((), dtype=torch.float64)
        with training_mode(model, task):
            for step, rows in enumerate(batches):
                for group in optimizer.param_groups:
                    group["lr"] = self.rate(task, step, len(batches))
                loaded = [task.examples.example(int(row)) for row in rows]
                labelled = sum(len(ids) - max(unlabelled, 1) for ids, unlabelled in loaded)
                groups = plan(task.examples, rows, budget, prefix_cost)
                loss_sum += self._step(model, optimizer, task.examples, groups, labelled)
                labels += labelled
                tokens += sum(len(ids) for ids, _ in loaded)
        return LocalOutcome(
            examples=sum(map(len, batches)),
            tokens=tokens,
            response_tokens=labels,
            steps=len(batches),
            train_loss=float(loss_sum) / max(labels, 1),
            state=self.kept_state(model, task, optimizer),
        )

    def _step(
        self,
        model: AdaptedModel,
        optimizer: torch.optim.Optimizer,
        examples: Examples,
        groups: list[MicroBatches],
        labels: int,
    ) -> torch.Tensor:
        """Take one optimiser step on rows with `labels` labels; return their summed loss, in nats."""
        total = torch.zeros((), dtype=torch.float64)
        for group in groups:
            prefix = model.prefix(group.prefix)
            for rows in group.parts:
                batch = make_batch(examples, rows, model.device, len(group.prefix))
                loss = model.token_losses(batch, prefix).sum()
                (loss / max(1, labels)).backward()
                total += loss.detach().double().cpu()
            if prefix is not None:
                prefix.backward()
        if self.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(list(model.parameters.values()), self.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return total


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
