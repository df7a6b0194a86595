"""How fast the rules that need not keep updates take them in, beside reading the same bytes once from memory.

python benchmarks/aggregation.py
python benchmarks/aggregation.py --parameters 1000000 --turns 3
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import torch

from shepherd.aggregation import (
    AFL,
    Aggregation,
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedDyn,
    FedYogi,
    GroupWeighted,
    QFedAvg,
    Scaffold,
)
from shepherd.messages import ClientUpdate
from shepherd.model.adapter import Adapter

GIGABYTE = 1e9
RULES: tuple[type[Aggregation], ...] = (
    FedAvg, FedAvgM, FedAdagrad, FedAdam, FedYogi, Scaffold, FedDyn, QFedAvg, AFL, GroupWeighted,
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parameters", type=int, nargs="+", default=[100_000, 1_000_000, 20_000_000])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--clients", type=int, default=100, help="of a round")
    parser.add_argument("--apart", type=int, default=25, help="of them, how many have vectors of their own")
    options = parser.parse_args()
    print(
        f"| parameters | rule | takes in, GB/s | reads, GB/s | finishing, ms | round of {options.clients}, "
        "times reading |\n|---|---|---|---|---|---|"
    )
    found = []
    for parameters in options.parameters:
        for kind in RULES:
            line = measured(kind(), parameters, options)
            found.append(line)
            print(
                f"| {parameters:,} | `{line['rule']}` | {line['takes_gb_s']:.2f} | {line['reads_gb_s']:.1f} "
                f"| {1000 * line['finish_s']:.1f} | {line['round_ratio']:.1f} |",
                flush=True,
            )
    print(json.dumps(found))


def measured(rule: Aggregation, parameters: int, options: argparse.Namespace) -> dict[str, Any]:
    """Time rounds and reading side by side, turn by turn; what is said besides the update is read as well."""
    updates = [update_of(rule, parameters, client) for client in range(min(options.apart, options.clients))]
    cohort = [updates[client % len(updates)] for client in range(options.clients)]
    for update in updates:
        update.update.norm()  # which a round has asked for already, to refuse what is not finite
    adapter, state = updates[0].update, rule.init(updates[0].update, 1)
    takes, reads, finishes = [], [], []
    for turn in range(options.turns + 1):
        began = time.perf_counter()
        accumulator = rule.start(adapter)
        for update in cohort:
            accumulator = rule.accumulate(accumulator, update)
        middle = time.perf_counter()
        rule.finish(adapter, accumulator, state)  # which adds up what still waits
        end = time.perf_counter()
        rule.finish(adapter, accumulator, state)
        finish = time.perf_counter() - end
        began_reading = time.perf_counter()
        for update in cohort:
            for vector in vectors_of(update):
                vector.sum()
        if turn > 0:
            reads.append(time.perf_counter() - began_reading)
            takes.append(middle - began + (end - middle) - finish)
            finishes.append(finish)
    size = 4 * parameters * len(vectors_of(updates[0])) * len(cohort) / GIGABYTE
    rounds = zip(takes, finishes, reads, strict=True)
    return {
        "parameters": parameters,
        "rule": rule.name,
        "takes_gb_s": size / statistics.median(takes),
        "reads_gb_s": size / statistics.median(reads),
        "finish_s": statistics.median(finishes),
        "round_ratio": statistics.median((take + finish) / read for take, finish, read in rounds),
    }


def update_of(rule: Aggregation, parameters: int, client: int) -> ClientUpdate:
    """Return an update with what any of the rules wants to hear, and no more than it does."""
    told = {"control": torch.randn(parameters)} if isinstance(rule, Scaffold) else {}
    adapter = Adapter({"a": torch.randn(parameters)})
    return ClientUpdate(client, adapter, 10, 10, 1000, 500, 1, 1.0, 1.0, 0.1, said={"loss": 2.0, **told})


def vectors_of(update: ClientUpdate) -> list[torch.Tensor]:
    said = [value for value in update.said.values() if isinstance(value, torch.Tensor)]
    return [update.update.vector, *said]


if __name__ == "__main__":
    main()
