"""The fast engine: a plain PyTorch loop that computes no padding, no prefix and no logit it does not need.

It knows batches, losses and optimiser steps, of one client or of several at once. It does not know rounds'
business or disks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import Field

from shepherd.errors import ShepherdError
from shepherd.model.adapter import Adapter, Layout
from shepherd.model.batch import load
from shepherd.model.micro_batches import token_budget
from shepherd.model.stack import AdapterStack, Carried
from shepherd.training.base import LocalOutcome, LocalTask, Training
from shepherd.training.correction import CorrectedStack
from shepherd.training.corrections import CorrectionChoice
from shepherd.training.steps import (
    ClientSteps,
    StepBatch,
    StepTaken,
    add_gradients,
    loss_dtype,
    trained_places,
    training_mode,
)
from shepherd.tree import Tree

if TYPE_CHECKING:
    from shepherd.model.adapted import AdaptedModel

log = logging.getLogger(__name__)


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
    compile : bool
        Compile the base's layers, for one client at a time; where something drops out, or where trying shows
        another result, they stay as they are. Off, since it takes minutes, and on a CPU it was seen to lose as
        much as it gained (docs/performance.md).
    recompute : bool
        Keep only every layer's input for the backward pass, and compute the rest again: a third slower, in a
        fraction of the memory.
    correction : Correction, optional
        What is added to every gradient; nothing by default.
    """

    shares_steps: ClassVar[bool] = True

    name: str = "engine"
    micro_tokens: int | None = Field(None, gt=0)
    share_prefixes: bool = True
    clients_at_once: int | None = Field(None, gt=0)
    compile: bool = False
    recompute: bool = False
    correction: CorrectionChoice | None = None

    def suits(self, config: Any) -> None:
        """Have the correction say whether it can serve the run."""
        super().suits(config)
        if self.correction is not None:
            self.correction.suits(config)

    def alone(self, epochs: float) -> Engine:
        """Return the same without a correction: there is nobody to be held to."""
        return super().alone(epochs).model_copy(update={"correction": None})

    def check_told(self, told: Tree, layout: Layout) -> None:
        """Have the correction say whether it can work with what clients are told."""
        if self.correction is not None:
            self.correction.check_told(told, layout)

    def together(self, model: AdaptedModel) -> int:
        """Return how many clients are trained at once."""
        fitting = 1 if model.device.type == "cpu" else max(1, self._budget(model) // (256 * self.batch_size))
        wanted = min(self.clients_at_once or fitting, model.most_clients)
        return wanted if wanted > 1 and model.carries_stacks else 1

    def chosen(self, model: AdaptedModel) -> dict[str, Any]:
        """Return what the engine makes of its settings here."""
        return {
            "clients_at_once": self.together(model),
            "micro_tokens": self._budget(model),
            "lanes": model.lanes,
            "shares_prefixes": self._prefix_cost(model) is not None,
            "forward": model.forward,
        }

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
        longest = max(len(tokens) for tokens, _ in load(tasks[0].examples, tasks[0].rows))
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
        order = sorted(range(len(tasks)), key=lambda i: -self.count(len(tasks[i].rows)))
        stack = AdapterStack(model, [adapters[i] for i in order])
        outcomes = self._train(model, stack, [tasks[i] for i in order])
        trained = dict(zip(order, zip(stack.adapters(), outcomes, strict=True), strict=True))
        return [trained[i] for i in range(len(tasks))]

    def _train(
        self, model: AdaptedModel, stack: AdapterStack, tasks: Sequence[LocalTask]
    ) -> list[LocalOutcome]:
        """Train clients, those with the most steps first, each in its row of the stack."""
        clients = [self._steps(model, task, stack, row) for row, task in enumerate(tasks)]
        corrected = CorrectedStack(self.correction, stack.values, tasks) if self.correction else None
        trained = trained_places(stack.values, tasks)
        sums = torch.zeros(2, len(clients), dtype=loss_dtype(model.device), device=model.device)
        compiled = self.compile and self.together(model) == 1 and model.compiles
        with training_mode(model, tasks[0]), model.layers.run(compiled, self.recompute):
            step = 0
            for left in range(len(clients), 0, -1):
                last = len(clients[left - 1].batches)
                if last == step:
                    continue
                with stack.carried(left) as carried:
                    for number in range(step, last):
                        taken = self._gradients(model, stack, carried, clients[:left], number)
                        self._correct(stack, left, corrected, trained)
                        for client, batch in zip(clients, taken.batches, strict=False):
                            client.step(batch)
                        sums[:, :left] += taken.sums
                step = last
        return [
            client.outcome(float(loss), float(squares), corrected)
            for client, (loss, squares) in zip(clients, sums.T.cpu(), strict=True)
        ]

    def _steps(self, model: AdaptedModel, task: LocalTask, stack: AdapterStack, row: int) -> ClientSteps:
        """Return a client that is about to be trained in a row of the stack."""
        return ClientSteps(self, task, stack, row)

    def _gradients(
        self,
        model: AdaptedModel,
        stack: AdapterStack,
        carried: Carried,
        clients: Sequence[ClientSteps],
        step: int,
    ) -> StepTaken:
        """Put the gradient of every client's optimiser step into the stack."""
        stack.gradients[: len(clients)].zero_()
        batches = [client.load(step) for client in clients]
        losses = self._add_gradients(model, carried, batches, stack.gradients[: len(clients)])
        return StepTaken(batches, losses)

    def _correct(
        self,
        stack: AdapterStack,
        left: int,
        corrected: CorrectedStack | None,
        trained: torch.Tensor | None,
    ) -> None:
        """Leave of the first clients' gradients what is trained, correct it, and clip it."""
        gradients, values = stack.gradients[:left], stack.values[:left]
        if trained is not None:
            gradients.mul_(trained[:left])
        if corrected is not None:
            corrected.correct(gradients, values)
            if trained is not None:  # what others say of the rest is no part of this client's norm
                gradients.mul_(trained[:left])
        if self.clip_norm is not None:
            norms = gradients.norm(dim=1, keepdim=True)
            gradients.mul_((self.clip_norm / (norms + 1e-6)).clamp(max=1.0))

    def _add_gradients(
        self, model: AdaptedModel, carried: Carried, batches: Sequence[StepBatch], gradients: torch.Tensor
    ) -> torch.Tensor:
        """Add what the batches give to `gradients`, those that `carried` adds to; return the losses, [clients]."""
        return add_gradients(model, carried, batches, self._budget(model), self._prefix_cost(model))

    def _prefix_cost(self, model: AdaptedModel) -> int | None:
        return model.prefix_cost if self.share_prefixes and not model.drops_out else None

    def _budget(self, model: AdaptedModel) -> int:
        return min(self.micro_tokens or token_budget(model.device), model.most_tokens)
