"""Local training: what every way of doing it has in common.

FedIT's third component (arXiv 2305.05644, section 3.3). The hyper-parameters, the order of the examples
and the learning rate live here, so that every trainer takes the same steps on the same batches.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from shepherd.model.batch import Examples
from shepherd.randomness import generator
from shepherd.strategy import Strategy
from shepherd.tree import Tree

if TYPE_CHECKING:
    from shepherd.data.instructions import Instructions
    from shepherd.model.adapted import AdaptedModel
    from shepherd.model.adapter import Adapter, Layout

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LocalTask:
    """What one client is to train on in one round.

    Attributes
    ----------
    examples : Examples
        The encoded store.
    rows : ndarray of int64
        The rows of it this client trains on.
    seed, round, rounds, client : int
        The address of this client's randomness, and the place in the run's learning rate schedule.
        ``round`` counts from 0.
    state : mapping
        What a stateful client kept from its previous participation; empty at first.
    told : Tree
        What the server tells the round's clients beside the adapter.
    segments : tuple of slice, optional
        Where in the adapter's vector lies what is trained; everywhere unless told. All else stays as it is.
    """

    examples: Examples
    rows: np.ndarray
    seed: int
    round: int
    rounds: int
    client: int
    state: Tree = field(default_factory=dict)
    told: Tree = field(default_factory=dict)
    segments: tuple[slice, ...] | None = None


@dataclass(frozen=True)
class LocalOutcome:
    """What local training did, besides changing the adapter in the model.

    Attributes
    ----------
    examples, tokens, response_tokens, steps : int
        Examples seen (with repetition), their tokens, their labels, optimiser steps.
    train_loss : float
        Nats per response token, or what else `Training.loss_over` says, over all of local training, as it went.
    train_loss_rms : float, optional
        The root of the mean square, over examples, of the mean losses of their batches; None where no trainer says.
    state : Tree
        What a stateful client keeps.
    said : Tree
        What the server gets to hear besides.
    """

    examples: int
    tokens: int
    response_tokens: int
    steps: int
    train_loss: float
    state: Tree = field(default_factory=dict)
    said: Tree = field(default_factory=dict)
    train_loss_rms: float | None = None


class Training(Strategy):
    """Hyper-parameters of local training.

    Attributes
    ----------
    lr : float
        Peak learning rate.
    batch_size : int
        Examples per optimiser step.
    epochs : float
        Passes over the client's examples each round; a fraction takes a part of one.
    steps : int, optional
        Optimiser steps each round, instead of ``epochs``.
    optimizer : str
        ``adamw`` (decoupled weight decay), ``adam``, ``sgd``.
    betas : tuple of float
        Adam's decay rates.
    momentum : float
        SGD's momentum, in [0, 1); Adam has ``betas``.
    weight_decay : float
        Weight decay.
    lr_schedule : str
        ``constant``, ``linear`` or ``cosine`` decay to ``lr_floor``.
    lr_span : str
        What the schedule spans: every client's local training (``round``) or all rounds (``run``).
    lr_floor : float
        Where decay ends, as a share of ``lr``.
    warmup : float
        Share of the span over which the rate rises linearly from zero.
    clip_norm : float, optional
        Largest gradient norm of an optimiser step; none by default.
    stateful : bool
        Whether a client goes on where it left off in its previous participation: the same optimiser
        moments, the next examples of its pass. Off in FedIT; on for the baselines that never average.
    shares_cohorts : bool
        Whether it works in several processes at once, each with clients of its own.
    shares_steps : bool
        Whether several processes can take each of its steps together; see `shepherd.training.shared_engine`.
    loss_over : str
        The count that its loss is a mean over: ``response_tokens``, or ``examples``.
    sequences : int
        Sequences of tokens in an example.
    forward_passes : int
        How often it computes its examples' losses before it trains on them.
    figures : tuple of str
        What its outcomes say besides that belongs into the metrics: means over examples.
    """

    shares_cohorts: ClassVar[bool] = True
    shares_steps: ClassVar[bool] = False
    loss_over: ClassVar[str] = "response_tokens"
    sequences: ClassVar[int] = 1
    forward_passes: ClassVar[int] = 0
    figures: ClassVar[tuple[str, ...]] = ()

    lr: float = Field(1.5e-4, gt=0)
    batch_size: int = Field(32, gt=0)
    epochs: float = Field(1.0, gt=0)
    steps: int | None = Field(None, gt=0)
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = Field(0.0, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    lr_schedule: Literal["constant", "linear", "cosine"] = "constant"
    lr_span: Literal["round", "run"] = "round"
    lr_floor: float = Field(0.0, ge=0, le=1)
    warmup: float = Field(0.0, ge=0, lt=1)
    clip_norm: float | None = Field(None, gt=0)
    stateful: bool = False

    @model_validator(mode="after")
    def _check_betas(self) -> Self:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError("betas must lie in [0, 1)")
        if self.optimizer == "sgd" and self.betas != type(self).model_fields["betas"].default:
            raise ValueError("betas are Adam's, and optimizer=sgd has none; leave them out, or set momentum")
        return self

    @model_validator(mode="after")
    def _check_momentum(self) -> Self:
        if self.momentum > 0 and self.optimizer != "sgd":
            raise ValueError(
                f"momentum is {self.momentum:g}, and optimizer={self.optimizer} has none; set optimizer=sgd, or leave "
                "momentum out and set betas"
            )
        return self

    def suits(self, config: Any) -> None:
        """Refuse to keep moments of factors that the next round no longer has."""
        moments = self.optimizer != "sgd" or self.momentum > 0
        if self.stateful and moments and config.aggregation.turns_factors:
            raise ValueError(
                "training.stateful keeps the optimiser's moments for the next round, and "
                f"aggregation.name={config.aggregation.name} begins that with other factors; set "
                "training.stateful=false, or choose another aggregation, e.g. fedavg or fedex"
            )

    def check_data(self, instructions: Instructions) -> None:
        """Refuse instructions that it cannot train on, and say what it leaves unused of those that it can.

        Raises
        ------
        ShepherdError
            Saying what they lack.
        """
        if instructions.holds_pairs:
            log.warning(
                "%s holds preferences, and training.name=%s trains on the chosen answers alone; training.name=dpo "
                "learns from the rejected ones too.",
                instructions.source,
                self.name,
            )

    def check_told(self, told: Tree, layout: Layout) -> None:
        """Refuse what the server tells a round's clients beside the adapter, if it cannot be trained by; nothing here.

        Parameters
        ----------
        told : Tree
            What `LocalTask.told` would be; over a network nothing about it is trusted.
        layout : Layout
            The adapter's.

        Raises
        ------
        ShepherdError
            Saying what is wrong with it.
        """

    def train(self, model: AdaptedModel, task: LocalTask) -> LocalOutcome:
        """Train the adapter that is in `model`, in place, on `task`."""
        raise NotImplementedError

    def alone(self, epochs: float) -> Self:
        """Return the same for somebody whose work is never averaged: plain training, `epochs` a round."""
        return self.model_copy(update={"epochs": epochs, "steps": None, "stateful": True})

    def together(self, model: AdaptedModel) -> int:
        """Return how many clients are best trained at once; one unless an algorithm can do better."""
        return 1

    def chosen(self, model: AdaptedModel) -> dict[str, Any]:
        """Return what was chosen for this model and device, for ``environment.json``; nothing here."""
        return {}

    def train_together(
        self, model: AdaptedModel, adapters: Sequence[Adapter], tasks: Sequence[LocalTask]
    ) -> Iterator[tuple[Adapter, LocalOutcome]]:
        """Train a client from each of `adapters`; yield the trained adapters in the same order."""
        for adapter, task in zip(adapters, tasks, strict=True):
            model.write(adapter)
            outcome = self.train(model, task)
            yield model.read(), outcome

    def count(self, size: int) -> int:
        """Return how many examples (with repetition) a client that holds `size` trains on in a round."""
        if self.steps is not None:
            return self.steps * self.batch_size
        return max(1, round(self.epochs * size))

    def batches(self, task: LocalTask) -> list[np.ndarray]:
        """Return the rows of every optimiser batch, in order; the last may be smaller.

        Passes over the client's rows follow one another without a seam; each is a permutation of its
        own address, so that neither other clients nor an interruption can change it.
        """
        start = int(task.state.get("examples_seen", 0))
        size = len(task.rows)
        count = self.count(size)
        first, last = start // size, (start + count - 1) // size
        # A stateful client's passes run on through the rounds; otherwise every round starts a new one.
        epoch = "run" if self.stateful else task.round
        passes = [
            generator(task.seed, "order", epoch, task.client, number).permutation(task.rows)
            for number in range(first, last + 1)
        ]
        stream = np.concatenate(passes)[start - first * size :][:count]
        return [stream[i : i + self.batch_size] for i in range(0, count, self.batch_size)]

    def rate(self, task: LocalTask, step: int, steps: int) -> float:
        """Return the learning rate of optimiser step `step` of `steps`, both within the round."""
        done = step / steps
        if self.lr_span == "run":
            done = (task.round + done) / task.rounds
        if done < self.warmup:
            # One step ahead, so that the very first is not wasted at rate zero.
            span = steps * (task.rounds if self.lr_span == "run" else 1)
            return self.lr * min(1.0, (done + 1 / span) / self.warmup)
        left = (done - self.warmup) / (1 - self.warmup)
        shape = {"constant": 1.0, "linear": 1 - left, "cosine": (1 + math.cos(math.pi * left)) / 2}
        return self.lr * (self.lr_floor + (1 - self.lr_floor) * shape[self.lr_schedule])

    def build_optimizer(
        self, parameters: Mapping[str, torch.nn.Parameter], task: LocalTask
    ) -> torch.optim.Optimizer:
        """Return the optimiser over `parameters`, with a stateful client's moments restored."""
        trained = list(parameters.values())
        optimizer: torch.optim.Optimizer
        if self.optimizer == "sgd":
            optimizer = torch.optim.SGD(
                trained, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay, fused=True
            )
        else:
            cls = torch.optim.AdamW if self.optimizer == "adamw" else torch.optim.Adam
            optimizer = cls(trained, lr=self.lr, betas=self.betas, weight_decay=self.weight_decay, fused=True)
        kept = task.state.get("optimizer", {})
        for name, values in ((name, kept[name]) for name in parameters if name in kept):
            device = parameters[name].device
            optimizer.state[parameters[name]] = {
                key: value.to(device, copy=True) for key, value in values.items()
            }
        return optimizer

    def kept_state(
        self,
        parameters: Mapping[str, torch.nn.Parameter],
        task: LocalTask,
        optimizer: torch.optim.Optimizer,
    ) -> dict[str, Any]:
        """Return what a stateful client keeps for its next participation: moments and its place."""
        if not self.stateful:
            return {}
        # What rests this round keeps the moments of the round before.
        moments = dict(task.state.get("optimizer", {})) | {
            name: {key: torch.as_tensor(value).detach().cpu() for key, value in optimizer.state[p].items()}
            for name, p in parameters.items()
            if optimizer.state[p]
        }
        seen = int(task.state.get("examples_seen", 0)) + self.count(len(task.rows))
        return {"examples_seen": seen, "optimizer": moments}
