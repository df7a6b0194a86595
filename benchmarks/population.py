"""How start and memory grow with the number of clients: each size in a process of its own.

    python benchmarks/population.py                                        # drawn on demand, 100 a round
    python benchmarks/population.py --allocation iid --clients 100 1000 10000 --cohort 5

With ``drawn`` a client is drawn when it is asked for; with ``iid`` 12,000 instructions are dealt out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from typing import Any

MEGABYTE = 1 << 20
BEGAN = time.perf_counter()


def measure(clients: int, options: argparse.Namespace) -> None:
    """Run three rounds with `clients` clients, and print what they took as JSON."""
    from shepherd.config import load_config  # importing is a part of the start
    from shepherd.machine import peak_memory_bytes
    from shepherd.observer import Observer
    from shepherd.runs import execute

    class Started(Observer):
        """Notes when the first round begins."""

        seconds = 0.0

        def started(self, *_: Any) -> None:
            self.seconds = time.perf_counter() - BEGAN

    config = load_config(
        "quickstart",
        [
            "rounds=3",
            f"data.rows={options.rows}",
            f"allocation.name={options.allocation}",
            f"allocation.clients={clients}",
            f"participation.count={options.cohort}",
            "training.steps=1",
            "evaluation.metrics=[loss]",
            "evaluation.answers=0",
            f"run.root={options.measure[1]}",
            f"run.name={options.measure[2]}",
        ],
    )
    started = Started()
    execute(config, observers=[started])
    print(json.dumps({"clients": clients, "bytes": peak_memory_bytes(), "start_s": started.seconds}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, nargs="+", default=[100, 10_000, 1_000_000])
    parser.add_argument("--allocation", default="drawn")
    parser.add_argument("--cohort", type=int, default=100)
    parser.add_argument("--rows", type=int, default=12000)
    parser.add_argument("--measure", nargs=3, metavar=("CLIENTS", "ROOT", "NAME"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(int(options.measure[0]), options)
        return

    print(
        "| clients | peak resident memory, MiB | to the smallest | seconds to the first round |\n|---|---|---|---|"
    )
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as root:
        # The first process encodes the instructions for all of them; it is not counted.
        for number, clients in enumerate([options.clients[0], *options.clients]):
            command = [
                sys.executable,
                __file__,
                *sys.argv[1:],
                "--measure",
                str(clients),
                root,
                f"size-{number}",
            ]
            one = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            if number:
                found.append(one)
                ratio = one["bytes"] / found[0]["bytes"]
                size = one["bytes"] / MEGABYTE
                print(f"| {clients:,} | {size:,.0f} | {ratio:.3f} | {one['start_s']:.1f} |", flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
