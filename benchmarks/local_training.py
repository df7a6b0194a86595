"""How fast clients train: the engine beside `transformers.Trainer`, on the same examples and steps.

    python benchmarks/local_training.py                                     # lamb on meadow
    python benchmarks/local_training.py --data databricks-dolly-15k.jsonl   # the paper's prompt and lengths
    python benchmarks/local_training.py --data natural-instructions-train.jsonl --field task --clients 6
    python benchmarks/local_training.py --compile                           # beside its compiled layers

The ways take turns in one process, so that a noisy machine is as noisy for all; a ratio is the median of the
ratios of neighbouring turns. ``engine, rows whole`` is the engine without shared prefixes. All train the same
batches in the same order, and the last client's updates are compared. Tokens are real ones, without padding. The
share of the matrix rate counts the work that real tokens need without sharing, causal attention included.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time

import numpy as np
import torch
from work import matrix_rate, training_work

from shepherd.config import load_config
from shepherd.machine import describe_machine
from shepherd.model.adapted import AdaptedModel
from shepherd.model.adapter import Adapter
from shepherd.model.batch import load
from shepherd.preparation import Prepared, prepare
from shepherd.training import Engine, LocalTask, TransformersTraining

TRAINER = "transformers.Trainer"


def clients(options: argparse.Namespace, root: str) -> tuple[Prepared, list[LocalTask]]:
    """Prepare the data, and return one task for each client."""
    allocation = (
        ["allocation.name=by_field", f"allocation.field={options.field}"]
        if options.field
        else ["allocation.name=iid", f"allocation.clients={options.clients}"]
    )
    overrides = [
        f"model.base={options.base}",
        f"data.path={options.data}",
        f"data.rows={options.rows}",
        f"data.max_tokens={options.max_tokens}",
        "data.holdout.count=5",
        "participation.count=1",
        f"run.root={root}",
        *allocation,
    ]
    prepared = prepare(load_config("fedit-dolly", overrides))
    # Evenly over the population: neighbouring tasks are alike.
    numbers = np.linspace(0, len(prepared.population) - 1, options.clients).astype(int)
    tasks = [
        LocalTask(
            prepared.examples,
            prepared.population.client(number).rows[: options.examples],
            0,
            0,
            1,
            int(number),
        )
        for number in numbers
    ]
    return prepared, tasks


def widest_layer(model: AdaptedModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two matrices whose product is that of the base's widest layer and 1,024 tokens."""
    shape = max((p.shape for p in model.base.model.parameters() if p.dim() == 2), key=lambda s: s.numel())
    return torch.randn(1024, shape[1]), torch.randn(shape[1], shape[0])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="meadow")
    parser.add_argument("--base", default="lamb")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--examples", type=int, default=128, help="each client's examples, at most")
    parser.add_argument("--field", help="one client per value of this field")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument(
        "--compile", action="store_true", help="time the compiled layers too; minutes to warm up"
    )
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)

    with tempfile.TemporaryDirectory() as root:
        prepared, tasks = clients(options, root)
    model = prepared.model
    settings = {"lr": 1e-3, "batch_size": options.batch_size}
    contenders = {
        "engine": Engine.model_validate(settings),
        "engine, rows whole": Engine.model_validate({**settings, "share_prefixes": False}),
        TRAINER: TransformersTraining.model_validate(settings),
    }
    if options.compile:
        contenders["engine, compiled"] = Engine.model_validate({**settings, "compile": True})
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    updates: dict[str, Adapter] = {}
    rates = []
    for turn in range(options.turns + 1):
        for name, training in contenders.items():
            began = time.perf_counter()
            for task in tasks:
                ((adapter, _),) = training.train_together(model, [model.initial], [task])
            if turn:  # the first turn warms up
                seconds[name].append(time.perf_counter() - began)
            updates[name] = adapter - model.initial
        rates.append(matrix_rate(*widest_layer(model)))
    show(prepared, tasks, seconds, updates, statistics.median(rates))


def show(
    prepared: Prepared,
    tasks: list[LocalTask],
    seconds: dict[str, list[float]],
    updates: dict[str, Adapter],
    rate: float,
) -> None:
    """Print the table, and the same as JSON."""
    loaded = [example for task in tasks for example in load(task.examples, task.rows)]
    tokens, work = sum(len(ids) for ids, _ in loaded), training_work(prepared.model, loaded)
    print(describe_machine(prepared.model.device), f"torch threads: {torch.get_num_threads()}")
    print(f"{len(loaded)} examples, {tokens:,} tokens; matrix products at {rate / 1e9:.0f} GFLOP/s\n")
    print(
        "| trainer | tokens/s: median (least to most) | times Trainer | share of the matrix rate | difference |"
    )
    print("|---|---|---|---|---|")
    found = {}
    for name, own in seconds.items():
        speeds = sorted(tokens / each for each in own)
        ratio = statistics.median(slow / fast for fast, slow in zip(own, seconds[TRAINER], strict=True))
        share = work / statistics.median(own) / rate
        gap = (updates[name] - updates[TRAINER]).norm() / updates[TRAINER].norm()
        middle = statistics.median(speeds)
        print(
            f"| {name} | {middle:,.0f} ({speeds[0]:,.0f} to {speeds[-1]:,.0f}) | {ratio:.2f} | "
            f"{share:.0%} | {gap:.1e} |"
        )
        found[name] = {"tokens_per_second": middle, "times_trainer": ratio, "share": share, "difference": gap}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
