"""One client's round, beside its data: choose examples, train, transform, answer.

A function of the client's view and the server's job alone; it runs the same in this process, in another
process, or in another country.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from shepherd.coreset import Coreset
from shepherd.data.population import ClientView
from shepherd.messages import ClientJob, ClientUpdate
from shepherd.model.adapted import AdaptedModel
from shepherd.randomness import generator
from shepherd.training import LocalTask, Training
from shepherd.transforms import Transform


def run_client(
    job: ClientJob,
    view: ClientView,
    model: AdaptedModel,
    coreset: Coreset,
    training: Training,
    transforms: Sequence[Transform],
) -> ClientUpdate:
    """Do what `job` asks with the examples of `view`, and return the update to send."""
    began = time.perf_counter()
    task = LocalTask(
        examples=view.examples,
        rows=coreset.examples(view, job.choice),
        seed=job.seed,
        round=job.round,
        rounds=job.rounds,
        client=job.client,
        state=job.state,
    )
    model.write(job.adapter)
    outcome = training.train(model, task)
    update = model.read() - job.adapter
    norm = update.norm()
    for number, transform in enumerate(transforms):
        update = transform.client(
            update, generator(job.seed, "transform at client", number, job.round, job.client)
        )
    return ClientUpdate(
        client=job.client,
        update=update,
        examples=outcome.examples,
        tokens=outcome.tokens,
        response_tokens=outcome.response_tokens,
        steps=outcome.steps,
        train_loss=outcome.train_loss,
        update_norm=norm,
        seconds=time.perf_counter() - began,
        state=outcome.state,
    )
