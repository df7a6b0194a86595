"""What a client costs beside its training: select, load the adapter, reset the optimiser, collect the update.

    python benchmarks/round_overhead.py

Clients of one short example, one step each, beside the bare forward and backward pass on the same batch; both
take turns, and the difference of neighbouring turns is the fixed cost.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time

import numpy as np
import torch

from shepherd.backend import LocalBackend
from shepherd.config import load_config
from shepherd.machine import describe_machine
from shepherd.messages import ClientJob
from shepherd.model.batch import collate, load
from shepherd.preparation import prepare


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
    backend = LocalBackend(model, population, config.coreset, config.training, config.transforms)
    sum_so_far = config.aggregation.start(model.initial)
    whole, bare = [], []
    for client in range(options.clients + 10):
        began = time.perf_counter()
        job = ClientJob(client, 0, config.rounds, config.seed, model.initial)
        (update,) = backend.train([job])
        sum_so_far = config.aggregation.accumulate(sum_so_far, update)
        middle = time.perf_counter()
        batch = collate(load(prepared.examples, population.client(client).rows), model.device)
        model.token_losses(batch).sum().backward()
        end = time.perf_counter()
        if client >= 10:  # the first ones warm up
            whole.append(middle - began)
            bare.append(end - middle)
        for parameter in model.parameters.values():
            parameter.grad = None
    cost = 1e3 * statistics.median(np.array(whole) - np.array(bare))
    print(describe_machine(model.device), f"torch threads: {options.threads}")
    print(
        "| parameters of the adapter | a client, ms | its forward and backward, ms | fixed cost, ms |\n"
        "|---|---|---|---|"
    )
    print(
        f"| {model.initial.parameters:,} | {1e3 * statistics.median(whole):.2f} | "
        f"{1e3 * statistics.median(bare):.2f} | {cost:.2f} |"
    )
    print(json.dumps({"parameters": model.initial.parameters, "fixed_cost_ms": cost}))


if __name__ == "__main__":
    main()
