"""How much memory a federation takes as its clients become more: each size in a process of its own.

python benchmarks/memory.py --clients 10,100,1000,10000
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time

MEGABYTE = 1 << 20


def measure(clients: int, rows: int, root: str) -> None:
    """Run three rounds with `clients` clients, and print what they took as JSON."""
    from shepherd.config import load_config
    from shepherd.machine import peak_memory_bytes
    from shepherd.runs import execute

    began = time.perf_counter()
    config = load_config(
        "quickstart",
        [
            "rounds=3",
            f"data.rows={rows}",
            "allocation.name=iid",
            f"allocation.clients={clients}",
            "participation.count=5",
            "training.steps=4",
            "evaluation.metrics=[loss]",
            "evaluation.answers=0",
            f"run.root={root}",
            f"run.name=clients-{clients}",
        ],
    )
    execute(config)
    print(json.dumps({"bytes": peak_memory_bytes(), "seconds": time.perf_counter() - began}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--clients", type=lambda text: [int(n) for n in text.split(",")], default=[10, 100, 1000, 10000]
    )
    parser.add_argument("--rows", type=int, default=12000)
    parser.add_argument("--measure", nargs=2, metavar=("CLIENTS", "ROOT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(int(options.measure[0]), options.rows, options.measure[1])
        return

    print("| clients | peak resident memory, MiB | to the smallest | seconds in all |\n|---|---|---|---|")
    first = None
    with tempfile.TemporaryDirectory() as root:
        for clients in options.clients:
            command = [sys.executable, __file__, "--rows", str(options.rows), "--measure", str(clients), root]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            first = first or found["bytes"]
            ratio = found["bytes"] / first
            print(
                f"| {clients:,} | {found['bytes'] / MEGABYTE:,.0f} | {ratio:.3f} | {found['seconds']:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
