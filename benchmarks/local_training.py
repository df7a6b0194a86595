"""How fast one client trains: the engine beside `transformers.Trainer`, on the same examples and steps.

    python benchmarks/local_training.py                                     # lamb on meadow
    python benchmarks/local_training.py --data databricks-dolly-15k.jsonl   # with the paper's prompt and lengths

Both take turns in one process, so that a noisy machine is as noisy for both; the ratio is the median of the
ratios of neighbouring turns. Both train on the same batches in the same order, and the updates are compared.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch

from shepherd.config import load_config
from shepherd.machine import describe_machine
from shepherd.model.adapter import Adapter
from shepherd.preparation import prepare
from shepherd.training import Engine, LocalTask, TransformersTraining


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="meadow")
    parser.add_argument("--base", default="lamb")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--examples", type=int, default=128, help="the client's examples")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()

    overrides = [
        f"model.base={options.base}",
        f"data.path={options.data}",
        f"data.rows={options.rows}",
        f"data.max_tokens={options.max_tokens}",
        "data.holdout.count=5",
        "allocation.name=iid",
        "allocation.clients=1",
        "participation.count=1",
        "run.root=runs/benchmarks",
    ]
    if options.threads:
        torch.set_num_threads(options.threads)
    prepared = prepare(load_config("fedit-dolly", overrides))
    task = LocalTask(prepared.examples, np.arange(options.examples), seed=0, round=0, rounds=1, client=0)
    contenders = {
        name: cls(lr=1e-3, batch_size=options.batch_size)
        for name, cls in (("engine", Engine), ("transformers.Trainer", TransformersTraining))
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    updates: dict[str, Adapter] = {}
    for turn in range(options.turns + 1):
        for name, training in contenders.items():
            prepared.model.write(prepared.model.initial)
            began = time.perf_counter()
            outcome = training.train(prepared.model, task)
            if turn:  # the first turn warms up
                seconds[name].append(time.perf_counter() - began)
            updates[name] = prepared.model.read() - prepared.model.initial

    print(describe_machine(prepared.model.device), f"torch threads: {torch.get_num_threads()}")
    print(
        f"{outcome.examples} examples, {outcome.tokens:,} tokens, {outcome.steps} steps, {options.turns} turns\n"
    )
    print("| trainer | tokens/s, median | least | most |\n|---|---|---|---|")
    for name, times in seconds.items():
        rates = sorted(outcome.tokens / each for each in times)
        print(f"| {name} | {statistics.median(rates):,.0f} | {rates[0]:,.0f} | {rates[-1]:,.0f} |")
    ours, theirs = seconds.values()
    ratio = statistics.median(slow / fast for fast, slow in zip(ours, theirs, strict=True))
    one, other = updates.values()
    print(
        f"\nratio {ratio:.2f}; relative difference of the updates {(one - other).norm() / other.norm():.1e}"
    )


if __name__ == "__main__":
    main()
