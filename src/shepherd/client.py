"""A client's round, beside its data: choose examples, train, transform, answer.

A function of the client's view and the server's job alone; it runs the same in this process, in another
process, or in another country, for one client or for several at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from shepherd.coreset import Coreset
from shepherd.data.population import ClientView
from shepherd.errors import ShepherdError
from shepherd.messages import ClientJob, ClientSummary, ClientUpdate
from shepherd.model.adapted import AdaptedModel
from shepherd.randomness import generator
from shepherd.training import LocalTask, Training
from shepherd.transforms import Transform


def summarise_client(
    job: ClientJob, view: ClientView, model: AdaptedModel, coreset: Coreset
) -> ClientSummary:
    """Say what the server needs to choose what this client trains on."""
    began = time.perf_counter()
    summary = coreset.summarise(view, job, model)
    lasting = coreset.lasting(summary.kept)
    return replace(summary, lasting=lasting, seconds=time.perf_counter() - began)


def run_clients(
    jobs: Sequence[ClientJob],
    views: Sequence[ClientView],
    model: AdaptedModel,
    coreset: Coreset,
    training: Training,
    transforms: Sequence[Transform],
) -> Iterator[ClientUpdate]:
    """Do what each of `jobs` asks with the examples of its view, and yield the updates to send, in order.

    The clients are trained at once, if the trainer can; what comes out is what each would send alone.
    """
    began = time.perf_counter()
    tasks = [
        LocalTask(
            examples=view.examples,
            rows=coreset.examples(view, job, model),
            seed=job.seed,
            round=job.round,
            rounds=job.rounds,
            client=job.client,
            state=job.kept("training"),
        )
        for job, view in zip(jobs, views, strict=True)
    ]
    for task, view in zip(tasks, views, strict=True):
        if len(task.rows) == 0:
            raise ShepherdError(
                f"Client '{view.name}' was left with nothing to train on; choose another coreset."
            )
    results = list(training.train_together(model, [job.adapter for job in jobs], tasks))
    seconds = (time.perf_counter() - began) / len(jobs)
    for job, task, (adapter, outcome) in zip(jobs, tasks, results, strict=True):
        update = adapter - job.adapter
        norm = update.norm()
        for number, transform in enumerate(transforms):
            update = transform.client(
                update, generator(job.seed, "transform at client", number, job.round, job.client)
            )
        yield ClientUpdate(
            client=job.client,
            update=update,
            selected=len(task.rows),
            examples=outcome.examples,
            tokens=outcome.tokens,
            response_tokens=outcome.response_tokens,
            steps=outcome.steps,
            train_loss=outcome.train_loss,
            update_norm=norm,
            seconds=seconds,
            state=outcome.state,
        )
