"""A client's round, beside its data: choose examples, train, transform, answer.

A function of the client's view and the server's job alone; it runs the same in this process, in another
process, or in another country, for one client or for several at once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from shepherd.aggregation import Aggregation
from shepherd.capacity import Configuration
from shepherd.coreset import Coreset
from shepherd.data.population import ClientView
from shepherd.errors import ShepherdError
from shepherd.messages import ClientJob, ClientSummary, ClientUpdate
from shepherd.model.adapted import AdaptedModel
from shepherd.model.adapter import Adapter, Layout
from shepherd.model.batch import load
from shepherd.model.losses import example_losses
from shepherd.personalisation import Personalisation
from shepherd.randomness import generator, torch_generator
from shepherd.scope import Scope
from shepherd.training import LocalOutcome, LocalTask, Training
from shepherd.transforms import Compression, Transform
from shepherd.tree import Tree, to_bytes

if TYPE_CHECKING:
    from shepherd.config import RunConfig


@dataclass(frozen=True)
class ClientSide:
    """Those of a run's strategies that work beside the data.

    Attributes
    ----------
    coreset, training, transforms, aggregation
        As in the run's config. Of the aggregation only what a round does with each tensor, and what clients are
        to say, is asked.
    """

    coreset: Coreset
    training: Training
    transforms: Sequence[Transform]
    aggregation: Aggregation
    personalisation: Personalisation | None = None
    _lengths: dict[Layout, int] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, config: RunConfig) -> ClientSide:
        """Take them from a config."""
        return cls(
            config.coreset,
            config.training,
            config.transforms,
            config.aggregation,
            config.personalisation,
        )

    def scope(self, configuration: Configuration, layout: Layout, round: int) -> Scope:
        """Return what of the adapter a client of some configuration deals with in a round."""
        return Scope.of(self.aggregation, configuration, layout, round)

    @property
    def compression(self) -> Compression | None:
        """How updates are written down; None for as they are."""
        last = self.transforms[-1] if self.transforms else None
        return last if isinstance(last, Compression) else None

    def update_bytes(self, layout: Layout) -> int:
        """Return how long an update is expected to be as it is sent; of a compression, by one of random values."""
        if self.compression is None:
            return layout.wire_bytes
        if layout not in self._lengths:
            made_up = torch.randn(sum(layout.sizes), generator=torch_generator(0, "update bytes"))
            update, rng = Adapter.from_vector(layout, made_up), generator(0, "update bytes")
            self._lengths[layout] = len(to_bytes(self.compression.compress(update, rng, {}).message))
        return self._lengths[layout]


def summarise_client(
    job: ClientJob, view: ClientView, model: AdaptedModel, side: ClientSide
) -> ClientSummary:
    """Say what the server needs to choose what this client trains on."""
    began = time.perf_counter()
    start = _start(job, _scope(job, model, side))
    summary = side.coreset.summarise(view, replace(job, adapter=start), model)
    lasting = side.coreset.lasting(summary.kept)
    return replace(summary, lasting=lasting, seconds=time.perf_counter() - began)


def measure_client(job: ClientJob, view: ClientView, model: AdaptedModel, side: ClientSide) -> float:
    """Return the mean loss of the adapter a client would begin with on its own examples, in nats per response token.

    Of those so many as are asked for, drawn at random in every round.
    """
    model.write(_start(job, _scope(job, model, side)))
    rows = view.rows
    if job.poll_examples is not None and job.poll_examples < len(rows):
        draw = generator(job.seed, "poll", job.round, job.client)
        rows = rows[np.sort(draw.choice(len(rows), job.poll_examples, replace=False))]
    return example_losses(model, load(view.examples, rows), None).mean


def run_clients(
    jobs: Sequence[ClientJob], views: Sequence[ClientView], model: AdaptedModel, side: ClientSide
) -> Iterator[ClientUpdate]:
    """Do what each of `jobs` asks with the examples of its view, and yield the updates to send, in order.

    The clients are trained at once, if the trainer can; what comes out is what each would send alone.
    """
    began = time.perf_counter()
    scopes = [_scope(job, model, side) for job in jobs]
    starts = [_start(job, scope) for job, scope in zip(jobs, scopes, strict=True)]
    tasks = [
        _task(job, side.coreset.examples(view, replace(job, adapter=start), model), view, scope)
        for job, view, scope, start in zip(jobs, views, scopes, starts, strict=True)
    ]
    asked = [_asked(job, view, model, side) for job, view in zip(jobs, views, strict=True)]
    results = list(side.training.train_together(model, starts, tasks))
    personal = _beside(jobs, tasks, starts, model, side)
    seconds = (time.perf_counter() - began) / len(jobs)
    for job, scope, task, start, said, own, (trained, outcome) in zip(
        jobs, scopes, tasks, starts, asked, personal, results, strict=True
    ):
        outcome = replace(outcome, said={**outcome.said, **said}, state={**outcome.state, **own})
        yield _update(job, scope, task, start, trained, outcome, side, seconds)


def _beside(
    jobs: Sequence[ClientJob],
    tasks: Sequence[LocalTask],
    starts: Sequence[Adapter],
    model: AdaptedModel,
    side: ClientSide,
) -> list[Tree]:
    """Have every client train the adapter that is its own, and return what it keeps of that."""
    personalisation = side.personalisation
    training = personalisation.beside(side.training) if personalisation else None
    if personalisation is None or training is None:
        return [{} for _ in jobs]
    own = [own_adapter(job.kept("training"), start) for job, start in zip(jobs, starts, strict=True)]
    begun = [personalisation.start(start, kept) for start, kept in zip(starts, own, strict=True)]
    # Its optimiser begins anew, and the batches are drawn as for everybody's.
    beside = [
        replace(task, state={}, told=personalisation.told(start))
        for task, start in zip(tasks, starts, strict=True)
    ]
    # In a round everybody is sent the same, or else `suits` refused what is to be put beneath.
    with model.resting_on(personalisation.beneath(starts[0], model.rests_on)):
        trained = list(training.train_together(model, begun, beside))
    return [{"personal": adapter.vector} for adapter, _ in trained]


def own_adapter(kept: Tree, like: Adapter) -> Adapter | None:
    """Return the adapter of its own that a client kept with its training, laid out as `like`; None at first."""
    return Adapter.from_vector(like.layout, kept["personal"]) if "personal" in kept else None


def _asked(job: ClientJob, view: ClientView, model: AdaptedModel, side: ClientSide) -> Tree:
    """Return what the aggregation wants to know before a client trains."""
    return {"loss": measure_client(job, view, model, side)} if side.aggregation.asks_loss else {}


def _scope(job: ClientJob, model: AdaptedModel, side: ClientSide) -> Scope:
    return side.scope(job.configuration, model.layout, job.round)


def _start(job: ClientJob, scope: Scope) -> Adapter:
    """Return the adapter that the client begins with."""
    return scope.start(job.adapter, job.kept("training").get("own", {}))


def _task(job: ClientJob, rows: np.ndarray, view: ClientView, scope: Scope) -> LocalTask:
    if len(rows) == 0:
        raise ShepherdError(
            f"Client '{view.name}' was left with nothing to train on; choose another coreset."
        )
    return LocalTask(
        examples=view.examples,
        rows=rows,
        seed=job.seed,
        round=job.round,
        rounds=job.rounds,
        client=job.client,
        state=job.kept("training"),
        told=job.told,
        segments=scope.segments,
    )


def _update(
    job: ClientJob,
    scope: Scope,
    task: LocalTask,
    start: Adapter,
    trained: Adapter,
    outcome: LocalOutcome,
    side: ClientSide,
    seconds: float,
) -> ClientUpdate:
    """Return what a client sends of what it trained, and what it keeps."""
    whole = trained - start
    shared = scope.up.cut(whole)
    norm = shared.norm()
    wire: Tree = {}
    state = dict(outcome.state)
    if scope.own.shapes:
        state["own"] = dict(scope.own.cut(trained))
    for number, transform in enumerate(side.transforms):
        rng = generator(job.seed, "transform at client", number, job.round, job.client)
        if transform is side.compression:
            if not math.isfinite(shared.norm()):
                break  # as it is: whoever sees it says whose training diverged
            compressed = side.compression.compress(shared, rng, job.kept("training").get("wire", {}))
            wire = compressed.message
            shared = side.compression.decompress(wire, shared.layout)
            if compressed.kept:
                state["wire"] = compressed.kept
        else:
            shared = transform.client(shared, rng)
    return ClientUpdate(
        client=job.client,
        update=scope.up.pad(shared),
        selected=len(task.rows),
        examples=outcome.examples,
        tokens=outcome.tokens,
        response_tokens=outcome.response_tokens,
        steps=outcome.steps,
        train_loss=outcome.train_loss,
        train_loss_rms=outcome.train_loss if outcome.train_loss_rms is None else outcome.train_loss_rms,
        update_norm=norm,
        seconds=seconds,
        state=state,
        said=outcome.said,
        wire=wire,
        sent_bytes=len(to_bytes(wire)) if wire else scope.up.layout.wire_bytes,
    )
