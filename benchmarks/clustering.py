"""How long clustering takes, and how much memory: each size in a process of its own.

    python benchmarks/clustering.py            # 10,000 and 100,000 points
    python benchmarks/clustering.py --quick    # 2,000 and 10,000

``blobs`` are groups of 50 points on average, ``gaussian`` points have no structure at all. The peak includes Python
and its libraries; ``of it`` says how much of it was there before the first cluster was sought.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

import numpy as np

MEGABYTE = 1 << 20


def made(kind: str, points: int, dimensions: int) -> np.ndarray:
    """Return points to cluster."""
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(points, dimensions))
    if kind == "gaussian":
        return noise
    centres = 3 * generator.normal(size=(max(points // 50, 1), dimensions))
    return centres[generator.integers(len(centres), size=points)] + 0.3 * noise


def measure(kind: str, points: int, dimensions: int, smallest: int) -> None:
    """Cluster once, and print what it took as JSON."""
    from shepherd.coreset.clusters import find_clusters
    from shepherd.machine import peak_memory_bytes

    given, before = made(kind, points, dimensions), peak_memory_bytes()
    began, used = time.perf_counter(), time.process_time()
    found = find_clusters(given, smallest)
    figures = {
        "kind": kind,
        "points": points,
        "dimensions": dimensions,
        "seconds": time.perf_counter() - began,
        "cpu_s": time.process_time() - used,
        "bytes": peak_memory_bytes(),
        "bytes_before": before,
        "clusters": found.count,
        "noise": int((found.labels < 0).sum()),
    }
    print(json.dumps(figures))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, nargs="+")
    parser.add_argument("--dimensions", type=int, nargs="+", default=[2, 16, 32])
    parser.add_argument("--smallest", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="smaller sizes")
    parser.add_argument(
        "--measure", nargs=3, metavar=("KIND", "POINTS", "DIMENSIONS"), help=argparse.SUPPRESS
    )
    options = parser.parse_args()
    if options.measure:
        kind, points, dimensions = options.measure
        measure(kind, int(points), int(dimensions), options.smallest)
        return

    sizes = options.points or ([2_000, 10_000] if options.quick else [10_000, 100_000])
    print(
        "| points | dimensions | kind | seconds | CPU seconds | peak resident memory, MiB | of it | clusters |"
    )
    print("|---|---|---|---|---|---|---|---|")
    found = []
    for points in sizes:
        for dimensions in options.dimensions:
            for kind in ("blobs", "gaussian"):
                command = [sys.executable, __file__, "--smallest", str(options.smallest), "--measure"]
                command += [kind, str(points), str(dimensions)]
                one = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
                found.append(one)
                print(
                    f"| {points:,} | {dimensions} | {kind} | {one['seconds']:.2f} | {one['cpu_s']:.1f} | "
                    f"{one['bytes'] / MEGABYTE:,.0f} | {one['bytes_before'] / MEGABYTE:,.0f} | "
                    f"{one['clusters']:,} |",
                    flush=True,
                )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
