"""How fast a judge is asked: calls of a known length, many at once, through a real server on this machine.

    OMP_NUM_THREADS=1 python benchmarks/endpoint.py

The server sleeps for every reply and runs in threads of this process, so it takes its share of the same cores; with
--apart it has a process of its own. The ideal is calls / concurrency x length. Then a run of the same calls is killed
half-way (SIGKILL) and given again: what it was answered before is not asked for again, which the server counts.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from shepherd.endpoint import EndpointSettings, Message, ReplyStore, Request, ask
from shepherd.machine import describe_machine

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from fake_server import FakeServer


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--milliseconds", type=float, default=50, help="length of a call at the server")
    parser.add_argument("--apart", action="store_true", help="the server in a process of its own")
    parser.add_argument("--worker", nargs=2, metavar=("URL", "PATH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        url, path = options.worker
        ask_all(url, Path(path), options)
        return
    with tempfile.TemporaryDirectory() as folder:
        timed, killed = Path(folder) / "timed.jsonl", Path(folder) / "killed.jsonl"
        with (server_apart if options.apart else server_here)(options.milliseconds / 1000) as url:
            busy = time.process_time()
            seconds = ask_all(url, timed, options)
            busy = time.process_time() - busy
        with FakeServer(delay_s=options.milliseconds / 1000) as server:
            kept = kill_half_way(server, killed, options)
            ask_all(server.url, killed, options)
            asked = server.asked()
    ideal = options.calls / options.concurrency * options.milliseconds / 1000
    figures = {
        "calls": options.calls,
        "concurrency": options.concurrency,
        "call_ms": options.milliseconds,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(busy, 2),
        "ideal_seconds": round(ideal, 2),
        "calls_per_second": round(options.calls / seconds, 1),
        "kept_at_kill": len(kept),
        "kept_and_asked_again": sum(asked[words] > 1 for words in kept),
        "under_way_at_kill_asked_again": sum(count > 1 for count in asked.values()),
    }
    print(
        describe_machine(torch.device("cpu")),
        "the server",
        "apart" if options.apart else "in the same process",
    )
    print("| " + " | ".join(name.replace("_", " ") for name in figures) + " |")
    print("|---" * len(figures) + "|")
    print("| " + " | ".join(map(str, figures.values())) + " |")
    print(json.dumps(figures))


def requests(count: int) -> list[Request]:
    """Return requests of the length of a judge's."""
    answer = "An answer that goes on for a while. " * 20
    return [Request((Message("user", f"{answer}{n}"),), "judge", 0.0, 256) for n in range(count)]


def ask_all(url: str, path: Path, options: argparse.Namespace) -> float:
    """Ask everything; return the seconds, without those of importing the client."""
    import openai  # noqa: F401

    settings = EndpointSettings(model="judge", base_url=url, concurrency=options.concurrency)
    began = time.perf_counter()
    ask(settings, requests(options.calls), ReplyStore(path))
    return time.perf_counter() - began


def kill_half_way(server: FakeServer, path: Path, options: argparse.Namespace) -> list[str]:
    """Kill a run once half is answered; return the questions whose answers it kept."""
    passed = [f"--{name}={getattr(options, name)}" for name in ("calls", "concurrency")]
    run = subprocess.Popen([sys.executable, __file__, "--worker", server.url, str(path), *passed])
    while len(server.answered) < options.calls // 2:
        time.sleep(0.001)
    run.send_signal(signal.SIGKILL)
    run.wait()
    kept = ReplyStore(path).replies
    return [request.messages[-1].content for request in requests(options.calls) if request.key in kept]


@contextmanager
def server_here(delay_s: float) -> Iterator[str]:
    """A server in threads of this process."""
    with FakeServer(delay_s=delay_s) as server:
        yield server.url


@contextmanager
def server_apart(delay_s: float) -> Iterator[str]:
    """A server in a process of its own."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(delay_s, theirs), daemon=True)
    process.start()
    yield ours.recv()
    process.terminate()


def _serve(delay_s: float, pipe: Connection) -> None:
    with FakeServer(delay_s=delay_s) as server:
        pipe.send(server.url)
        time.sleep(3600)


if __name__ == "__main__":
    main()
