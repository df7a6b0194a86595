"""What a client costs beside its training: select, load the adapter, reset the optimiser, collect the update.

    OMP_NUM_THREADS=1 python benchmarks/round_overhead.py

Clients of one short example, one step each, whose gradient is not computed: forward and backward pass are timed
apart, on the same examples, so that they do not drown what is looked for.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import torch

from shepherd.backend import LocalBackend
from shepherd.client import ClientSide
from shepherd.config import load_config
from shepherd.machine import describe_machine
from shepherd.messages import ClientJob
from shepherd.model.adapted import AdaptedModel
from shepherd.model.batch import collate, load
from shepherd.model.stack import Carried
from shepherd.preparation import Prepared, prepare
from shepherd.training import engine
from shepherd.training.steps import StepBatch


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--rank", type=int, default=5, help="LoRA rank; 5 gives lamb 104 thousand parameters")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as root:
        overrides = [
            f"adapter.rank={options.rank}",
            "data.rows=200",
            "data.holdout.count=1",
            "allocation.name=drawn",
            "allocation.clients=1000000",
            "allocation.min_examples=1",
            "allocation.max_examples=1",
            "participation.count=1",
            f"run.root={root}",
        ]
        config = load_config("quickstart", overrides)
        prepared = prepare(config)
    model, population = prepared.model, prepared.population
    backend = LocalBackend(model, population, ClientSide.of(config))
    bare = [forward_and_backward(prepared, client) for client in range(options.clients)]
    engine.add_gradients = no_gradients
    total = config.aggregation.start(model.initial)
    fixed = []
    for client in range(options.clients):
        began = time.perf_counter()
        (update,) = backend.train([ClientJob(client, 0, config.rounds, config.seed, model.initial)])
        total = config.aggregation.accumulate(total, update)
        fixed.append(time.perf_counter() - began)
    print(describe_machine(model.device), f"torch threads: {options.threads}")
    print("| parameters of the adapter | fixed cost, ms: median (least) | its forward and backward, ms |")
    print("|---|---|---|")
    cost, least, passes = (1e3 * value for value in (median(fixed), min(fixed), median(bare)))
    print(f"| {model.initial.parameters:,} | {cost:.2f} ({least:.2f}) | {passes:.2f} |")
    print(json.dumps({"parameters": model.initial.parameters, "fixed_cost_ms": cost, "passes_ms": passes}))


def forward_and_backward(prepared: Prepared, client: int) -> float:
    """Return the seconds of a client's forward and backward pass."""
    batch = collate(load(prepared.examples, prepared.population.client(client).rows), prepared.model.device)
    began = time.perf_counter()
    losses = prepared.model.token_losses(batch)
    torch.autograd.grad(losses.sum(), prepared.model.alone.leaves, allow_unused=True)
    return time.perf_counter() - began


def no_gradients(
    model: AdaptedModel, carried: Carried, batches: Sequence[StepBatch], *_: Any, **__: Any
) -> torch.Tensor:
    """Stand in for the gradient of a step."""
    return torch.zeros(len(batches), dtype=torch.float64)


if __name__ == "__main__":
    main()
