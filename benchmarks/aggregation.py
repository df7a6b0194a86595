"""How fast FedAvg takes updates in, beside the fastest this machine copies the same bytes.

python benchmarks/aggregation.py
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch

from shepherd.aggregation import FedAvg
from shepherd.messages import ClientUpdate
from shepherd.model.adapter import Adapter

GIGABYTE = 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parameters", type=int, nargs="+", default=[100_000, 1_000_000, 20_000_000])
    parser.add_argument("--turns", type=int, default=15)
    options = parser.parse_args()
    print("| parameters | FedAvg, GB/s | copy, GB/s | ratio |\n|---|---|---|---|")
    found = []
    for parameters in options.parameters:
        adapter = Adapter({"a": torch.randn(parameters)})
        update = ClientUpdate(0, adapter, 10, 1000, 500, 1, 1.0, 1.0, 0.1)
        rule, target = FedAvg(), torch.empty_like(adapter.vector)
        accumulator = rule.start(adapter)
        ours, copies = [], []
        for turn in range(options.turns + 2):
            began = time.perf_counter()
            accumulator = rule.accumulate(accumulator, update)
            middle = time.perf_counter()
            target.copy_(adapter.vector)
            end = time.perf_counter()
            if turn > 1:
                ours.append(middle - began)
                copies.append(end - middle)
        rates = [4 * parameters / statistics.median(times) / GIGABYTE for times in (ours, copies)]
        ratio = statistics.median(copy / own for own, copy in zip(ours, copies, strict=True))
        print(f"| {parameters:,} | {rates[0]:.2f} | {rates[1]:.2f} | {ratio:.2f} |")
        found.append({"parameters": parameters, "fedavg_gb_s": rates[0], "copy_gb_s": rates[1]})
    print(json.dumps(found))


if __name__ == "__main__":
    main()
