"""The engine in several processes that take every optimiser step of one client together.

Each computes the gradient of its share of the step's rows; the gradients are summed over the processes, and every
process takes the same step, so all of them hold the same adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import PrivateAttr

from shepherd.model.adapter import Adapter
from shepherd.model.stack import Carried
from shepherd.processes import Processes, ProcessLost
from shepherd.training.base import LocalOutcome, LocalTask
from shepherd.training.engine import Engine
from shepherd.training.steps import StepBatch, add_gradients, loss_dtype

if TYPE_CHECKING:
    from shepherd.model.adapted import AdaptedModel

#: Told what is about to be trained, so that the other processes can be told; entered while it is.
Began = Callable[[Engine, "AdaptedModel", Adapter, LocalTask], AbstractContextManager[None]]


def _nobody_told(
    engine: Engine, model: AdaptedModel, adapter: Adapter, task: LocalTask
) -> AbstractContextManager[None]:
    return nullcontext()


class OutOfMemoryTogether(torch.OutOfMemoryError):
    """One of the processes ran out of memory in a step, and all of them know."""


@dataclass(frozen=True)
class _Found:
    """What one process found in a step: gradients, losses, and whether it ran out of memory."""

    gradients: torch.Tensor
    losses: torch.Tensor
    short: int


class SharedEngine(Engine):
    """An engine whose optimiser steps several processes take together.

    Its rows are dealt out by length, the longest first, in the same way in every process; what a process makes of its
    rows (micro-batches, shared prefixes) is its own business. Only a base that drops something out itself gives
    another result than one process, since every process draws for its own rows.
    """

    _processes: Processes = PrivateAttr(default_factory=Processes)
    _began: Began = PrivateAttr(default_factory=lambda: _nobody_told)

    @classmethod
    def of(cls, engine: Engine, processes: Processes, began: Began = _nobody_told) -> SharedEngine:
        """Return an engine with the settings of `engine`.

        Parameters
        ----------
        engine : Engine
            Has the settings.
        processes : Processes
            Those that train together.
        began : callable
            In the main process: given the engine (this one, or one that was made of it by changed settings), the
            model, the adapter and the task, a context to train them in; and again whenever that begins anew with
            smaller micro-batches.
        """
        shared = cls.model_construct(**dict(engine))
        shared._processes, shared._began = processes, began
        return shared

    def train_alike(self, model: AdaptedModel, adapter: Adapter, task: LocalTask) -> None:
        """Do, in another process than the main one, what that one began.

        Raises
        ------
        OutOfMemoryTogether
            If a process ran out of memory; the main one begins anew with smaller micro-batches.
        """
        self._train_stack(model, [adapter], [task])

    def _train_stack(
        self, model: AdaptedModel, adapters: Sequence[Adapter], tasks: Sequence[LocalTask]
    ) -> list[tuple[Adapter, LocalOutcome]]:
        with self._began(self, model, adapters[0], tasks[0]):
            trained = super()._train_stack(model, adapters, tasks)
            bits = sha256(trained[0][0].to_bytes()).hexdigest()
            if any(other["adapter"] != bits for other in self._processes.gather({"adapter": bits})):
                raise ProcessLost(
                    "The processes trained the same examples to different adapters; give all of them the same kind "
                    "of GPU and the same libraries."
                )
        return trained

    def _add_gradients(
        self, model: AdaptedModel, carried: Carried, batches: Sequence[StepBatch], gradients: torch.Tensor
    ) -> torch.Tensor:
        """Compute this process's rows, and return with everybody's gradients and losses."""
        losses, short = torch.zeros(len(batches), dtype=loss_dtype(model.device)), 0
        shares = [self._share(batch) for batch in batches]
        try:
            budget, prefix_cost = self._budget(model), self._prefix_cost(model)
            losses = add_gradients(model, carried, batches, budget, prefix_cost, shares).cpu()
        except torch.OutOfMemoryError:
            short = 1
        summed = self._processes.add_up(_Found(gradients.cpu(), losses, short))
        if summed.short:
            raise OutOfMemoryTogether
        gradients.copy_(summed.gradients)
        return summed.losses.to(model.device)

    def _share(self, batch: StepBatch) -> np.ndarray:
        return np.array(
            self._processes.share([float(len(tokens)) for tokens, _ in batch.examples]), dtype=np.int64
        )
