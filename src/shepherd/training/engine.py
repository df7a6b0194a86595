"""The fast engine: a plain PyTorch loop that computes no padding, no prefix and no logit it does not need.

It knows batches, losses and optimiser steps, of one client or of several at once. It does not know rounds'
business or disks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import Field

from shepherd.errors import ShepherdError
from shepherd.model.adapter import Adapter
from shepherd.model.batch import Batch, collate, make_batch
from shepherd.model.dropout import token_keys
from shepherd.model.micro_batches import plan
from shepherd.model.prefix import SharedPrefix
from shepherd.model.stack import AdapterStack
from shepherd.randomness import torch_seed
from shepherd.training.base import LocalOutcome, LocalTask, Training
from shepherd.training.correction import CorrectionChoice

if TYPE_CHECKING:
    from shepherd.model.adapted import AdaptedModel

log = logging.getLogger(__name__)

#: Padded tokens in a micro-batch, by kind of device.
_BUDGETS = {"cpu": 1024}
_NOBODY = (np.zeros(1, dtype=np.int64), 1)  # fills a gap in a grid: one token, no label


class Engine(Training):
    """The default trainer.

    Inside an optimiser batch rows are sorted by length and cut into micro-batches of a bounded number
    of padded tokens, and what they begin with together is computed once; the loss is the sum over labels
    divided by the batch's number of labels, so the gradient is the whole batch's whatever the cut.

    Attributes
    ----------
    micro_tokens : int, optional
        Padded tokens in a micro-batch, at most (one example may be longer). Unless told, 1,024 on a CPU,
        where small activations stay in cache and with the allocator, and 16,384 on a GPU.
    share_prefixes : bool
        Compute what rows of a batch begin with once, where that is less work and the base allows it.
    clients_at_once : int, optional
        Clients trained side by side in one model. Unless told, 1 on a CPU, where that is fastest, and on a
        GPU as many as fill a micro-batch.
    correction : Correction, optional
        What is added to every gradient; nothing by default.
    """

    name: str = "engine"
    micro_tokens: int | None = Field(None, gt=0)
    share_prefixes: bool = True
    clients_at_once: int | None = Field(None, gt=0)
    correction: CorrectionChoice | None = None

    def alone(self, epochs: float) -> Engine:
        """Return the same without a correction: there is nobody to be held to."""
        return super().alone(epochs).model_copy(update={"correction": None})

    def together(self, model: AdaptedModel) -> int:
        """Return how many clients are trained at once."""
        fitting = 1 if model.device.type == "cpu" else max(1, self._budget(model) // (256 * self.batch_size))
        wanted = min(self.clients_at_once or fitting, model.most_clients)
        return wanted if wanted > 1 and model.carries_stacks else 1

    def train(self, model: AdaptedModel, task: LocalTask) -> LocalOutcome:
        """Train the adapter that is in `model`, in place, on `task`."""
        return self._train(model, AdapterStack(model, [model.read()]), [task])[0]

    def train_together(
        self, model: AdaptedModel, adapters: Sequence[Adapter], tasks: Sequence[LocalTask]
    ) -> Iterator[tuple[Adapter, LocalOutcome]]:
        """Train several clients side by side, each as if it were alone; fewer at once where memory runs out."""
        try:
            return iter(self._train_stack(model, adapters, tasks))
        except torch.OutOfMemoryError:
            pass  # only outside is what it held free again
        halves = self._with_less(model, adapters, tasks)
        return chain.from_iterable(self.train_together(model, *half) for half in halves)

    def _with_less(
        self, model: AdaptedModel, adapters: Sequence[Adapter], tasks: Sequence[LocalTask]
    ) -> list[tuple[Sequence[Adapter], Sequence[LocalTask]]]:
        """Ask for half of what did not fit: first of the clients at once, then of the micro-batch."""
        if model.device.type == "cuda":
            torch.cuda.empty_cache()
        if len(tasks) > 1:
            half = len(tasks) // 2
            model.most_clients = half
            log.warning("Out of memory with %d clients at once; going on with %d.", len(tasks), half)
            return [(adapters[:half], tasks[:half]), (adapters[half:], tasks[half:])]
        longest = max(len(tasks[0].examples.example(int(row))[0]) for row in tasks[0].rows)
        if self._budget(model) <= longest:
            raise ShepherdError(
                f"Training on one example of {longest:,} tokens does not fit into this device's memory; lower "
                "data.max_tokens, or choose a smaller model.base."
            )
        model.most_tokens = max(self._budget(model) // 2, longest)
        log.warning("Out of memory; going on with at most %d tokens in a micro-batch.", model.most_tokens)
        return [(adapters, tasks)]

    def _train_stack(
        self, model: AdaptedModel, adapters: Sequence[Adapter], tasks: Sequence[LocalTask]
    ) -> list[tuple[Adapter, LocalOutcome]]:
        # Longest first: whoever still trains is always among the first rows of the stack.
        order = sorted(range(len(tasks)), key=lambda i: -self.count(tasks[i]))
        stack = AdapterStack(model, [adapters[i] for i in order])
        outcomes = self._train(model, stack, [tasks[i] for i in order])
        trained = dict(zip(order, zip(stack.adapters(), outcomes, strict=True), strict=True))
        return [trained[i] for i in range(len(tasks))]

    def _train(
        self, model: AdaptedModel, stack: AdapterStack, tasks: Sequence[LocalTask]
    ) -> list[LocalOutcome]:
        clients = [_Client(self, task, stack, row) for row, task in enumerate(tasks)]
        anchor = stack.values.clone() if self.correction else None
        # Apple's GPUs have no float64.
        precise = torch.float32 if model.device.type == "mps" else torch.float64
        losses = torch.zeros(len(clients), dtype=precise, device=model.device)
        with training_mode(model, tasks[0]):
            step = 0
            for left in range(len(clients), 0, -1):
                last = len(clients[left - 1].batches)
                if last == step:
                    continue
                with stack.carried(left):
                    for number in range(step, last):
                        self._step(model, stack, clients[:left], number, losses, anchor)
                step = last
        return [client.outcome(float(loss)) for client, loss in zip(clients, losses.cpu(), strict=True)]

    def _step(
        self,
        model: AdaptedModel,
        stack: AdapterStack,
        clients: Sequence[_Client],
        step: int,
        losses: torch.Tensor,
        anchor: torch.Tensor | None,
    ) -> None:
        """Take one optimiser step of every client, and add the summed losses, in nats, to `losses`."""
        gradients = stack.gradients[: len(clients)]
        gradients.zero_()
        share = torch.tensor([1 / max(1, client.labels(step)) for client in clients], device=model.device)
        for prefix, micros in self._micro_batches(model, clients, step):
            for rows, batch in micros:
                owners = batch.owners // rows
                found = model.token_losses(batch, prefix)
                (found * share[owners]).sum().backward()
                # As a product, not by index_add: that adds in no fixed order on a GPU.
                members = owners == torch.arange(len(clients), device=model.device)[:, None]
                losses[: len(clients)] += members.to(losses.dtype) @ found.detach().to(losses.dtype)
            if prefix is not None:
                prefix.backward()
        if anchor is not None and self.correction is not None:
            values = stack.values[: len(clients)]
            gradients.copy_(self.correction.gradient(gradients, values, anchor[: len(clients)]))
        if self.clip_norm is not None:
            norms = gradients.norm(dim=1, keepdim=True)
            gradients.mul_((self.clip_norm / (norms + 1e-6)).clamp(max=1.0))
        for client in clients:
            client.step(step)

    def _budget(self, model: AdaptedModel) -> int:
        return min(self.micro_tokens or _BUDGETS.get(model.device.type, 16384), model.most_tokens)

    def _micro_batches(
        self, model: AdaptedModel, clients: Sequence[_Client], step: int
    ) -> Iterator[tuple[SharedPrefix | None, Iterator[tuple[int, Batch]]]]:
        """Yield prefixes and the micro-batches behind each: how many rows each client has in it, and the batch."""
        if len(clients) > 1:
            yield None, _side_by_side(model, clients, step, self._budget(model))
            return
        (client,) = clients
        cost = model.prefix_cost if self.share_prefixes else None
        for group in plan(client.task.examples, client.batches[step], self._budget(model), cost):
            start = len(group.prefix)
            yield (
                model.prefix(group.prefix),
                ((len(places), client.batch(model, step, places, start)) for places in group.parts),
            )


@dataclass
class _Client:
    """One client in training: its batches, its optimiser on its row of the stack, what it has done."""

    settings: Engine
    task: LocalTask
    stack: AdapterStack
    row: int
    batches: list[np.ndarray] = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        self.batches = self.settings.batches(self.task)
        self.parameter = torch.nn.Parameter(self.stack.values[self.row])
        self.parameter.grad = self.stack.gradients[self.row]
        self.optimizer = self.settings.build_optimizer({"adapter": self.parameter}, self.task)

    def examples(self, step: int, places: np.ndarray | slice = slice(None)) -> list[tuple[np.ndarray, int]]:
        """Return the examples at some places of a step's batch, or all."""
        return [self.task.examples.example(int(row)) for row in self.batches[step][places]]

    def keys(self, step: int, places: np.ndarray) -> list[np.ndarray]:
        """Return the dropout keys of their tokens."""
        seed, loaded = dropout_seed(self.task), self.examples(step, places)
        return [
            token_keys(seed, step, int(place), len(tokens))
            for place, (tokens, _) in zip(places, loaded, strict=True)
        ]

    def labels(self, step: int) -> int:
        """Count the labels of a step's batch."""
        return _labels(self.examples(step))

    def batch(self, model: AdaptedModel, step: int, places: np.ndarray, start: int) -> Batch:
        """Return the micro-batch of some places, without their first `start` tokens."""
        keys = self.keys(step, places) if model.drops_out else None
        return make_batch(self.task.examples, self.batches[step][places], model.device, start, keys)

    def step(self, step: int) -> None:
        """Take an optimiser step at the scheduled rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate(self.task, step, len(self.batches))
        self.optimizer.step()

    def outcome(self, loss: float) -> LocalOutcome:
        """Say what was done, with the loss summed over all labels, in nats."""
        loaded = [self.examples(step) for step in range(len(self.batches))]
        labels = sum(map(_labels, loaded))
        return LocalOutcome(
            examples=sum(map(len, self.batches)),
            tokens=sum(len(tokens) for batch in loaded for tokens, _ in batch),
            response_tokens=labels,
            steps=len(self.batches),
            train_loss=loss / max(labels, 1),
            state=self.settings.kept_state({"adapter": self.parameter}, self.task, self.optimizer),
        )


def _labels(examples: Sequence[tuple[np.ndarray, int]]) -> int:
    return sum(len(tokens) - max(unlabelled, 1) for tokens, unlabelled in examples)


def _side_by_side(
    model: AdaptedModel, clients: Sequence[_Client], step: int, budget: int
) -> Iterator[tuple[int, Batch]]:
    """Yield micro-batches with as many rows of each client, the clients' longest together."""
    queues = []
    for client in clients:
        lengths = np.array([len(tokens) for tokens, _ in client.examples(step)])
        queues.append(np.argsort(-lengths, kind="stable"))
    start, most = 0, max(map(len, queues))
    while start < most:
        firsts = [
            client.examples(step, queue[start : start + 1])
            for client, queue in zip(clients, queues, strict=True)
        ]
        width = max(len(tokens) for first in firsts for tokens, _ in first)
        rows_each = min(most - start, max(1, budget // (width * len(clients))))
        loaded: list[tuple[np.ndarray, int]] = []
        keys: list[np.ndarray] = []
        for client, queue in zip(clients, queues, strict=True):
            places = queue[start : start + rows_each]
            gaps = rows_each - len(places)
            loaded += client.examples(step, places) + [_NOBODY] * gaps
            if model.drops_out:
                keys += client.keys(step, places) + [np.zeros(1, dtype=np.uint64)] * gaps
        yield rows_each, collate(loaded, model.device, keys or None)
        start += rows_each


def dropout_seed(task: LocalTask) -> int:
    """Return the seed of what drops out in this client's round."""
    return torch_seed(task.seed, "dropout", task.round, task.client)


@contextmanager
def training_mode(model: AdaptedModel, task: LocalTask) -> Iterator[None]:
    """Training mode, with the base's dropout drawn from the client's own address and no trace left behind."""
    if not model.drops_out:
        yield
        return
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(dropout_seed(task))
        model.peft.train()
        try:
            yield
        finally:
            model.peft.eval()
