"""What a round costs over Flower beyond the same round in this process, and the bytes that go over the wire.

    OMP_NUM_THREADS=1 python benchmarks/federation_overhead.py --rounds 8

Two sites on this machine, over TLS and keys, `lamb` with an adapter of 1 MB, eight examples each: so little training
that the rest shows. Between sites and coordinator stands a relay that counts every byte, TLS, polls and signs of life
included.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "deploy"))
from real_federation import new_federation, start_site, stop
from site_files import NAMES, file_of, write_site_files

from shepherd.config import RunConfig, parse_config
from shepherd.deploy.child import wait_until
from shepherd.deploy.coordinating import connected
from shepherd.deploy.coordinator import Coordinator
from shepherd.observer import Observer
from shepherd.runs import execute


class Relay:
    """Passes bytes between whoever connects and the coordinator, and counts them."""

    def __init__(self, port: int) -> None:
        self.to = ("127.0.0.1", port)
        self.bytes: Counter[str] = Counter()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            site, _ = self.listener.accept()
            coordinator = socket.create_connection(self.to)
            for way, source, target in (("up", site, coordinator), ("down", coordinator, site)):
                threading.Thread(target=self._pass, args=(way, source, target), daemon=True).start()

    def _pass(self, way: str, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self.bytes[way] += len(data)
                target.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, target):
                end.close()


class Bytes(Observer):
    """Notes what had gone by at the end of every round."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.seen: list[tuple[int, int]] = []

    def committed(self, state: Any, lines: Any) -> None:
        """Note it."""
        self.seen.append((self.relay.bytes["up"], self.relay.bytes["down"]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--rank", type=int, default=12)
    options = parser.parse_args()
    names = NAMES[:2]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "data").mkdir()
        files = write_site_files(place / "data", each=8)
        (files / f"local_training_{2}.jsonl").unlink()
        (files / "clients.json").write_text(json.dumps(names))
        folder = new_federation(place / "coordinator", names, "lamb", minimum_sites=2)
        relay = Relay(folder.settings.port)
        with connected(folder) as link:
            for one in names:
                file = folder.bundle(one) / "site.yaml"
                values = {**yaml.safe_load(file.read_text()), "address": f"127.0.0.1:{relay.port}"}
                file.write_text(yaml.safe_dump(values))
            sites = [
                start_site(folder.bundle(one), file_of(files, one), place / f"{one}.log") for one in names
            ]
            try:
                wait_until(lambda: len(link.online()) == len(names), 120)
                counted = Bytes(relay)
                real = config_of(options, files, place, "real")
                Coordinator(real, folder.settings, link, names, [counted]).run()
            finally:
                stop(*sites)
        simulated = config_of(options, files, place, "simulated")
        execute(simulated)
        report(options, real, simulated, counted)


def config_of(options: argparse.Namespace, files: Path, root: Path, name: str) -> RunConfig:
    return parse_config(
        {
            "rounds": options.rounds,
            "adapter": {"name": "lora", "rank": options.rank},
            "data": {"prompt": "plain", "max_tokens": 64},
            "allocation": {"name": "files", "path": str(files)},
            "participation": {"name": "random", "fraction": 1.0},
            "evaluation": {"every": options.rounds, "answers": 0},
            "run": {"root": str(root), "name": name, "threads": 1},
        }
    )


def report(options: argparse.Namespace, real: RunConfig, simulated: RunConfig, counted: Bytes) -> None:
    took, alone = (round_seconds(config) for config in (real, simulated))
    adapter = (real.run.directory / "adapter" / "adapter_model.safetensors").stat().st_size
    rounds = range(2, len(counted.seen))  # the first round begins with the sites' waking up
    ups, downs = ([(counted.seen[i][way] - counted.seen[i - 1][way]) / 2 for i in rounds] for way in (0, 1))
    table = Table(title=f"{options.rounds} rounds of two sites, an adapter of {adapter / 1e6:.2f} MB")
    for column in ("what", "value"):
        table.add_column(column)
    table.add_row("a round over Flower, median", f"{statistics.median(took[1:]):.2f} s")
    table.add_row("in this process, one client after another", f"{statistics.median(alone[1:]):.2f} s")
    difference = statistics.median(took[1:]) - statistics.median(alone[1:])
    table.add_row("difference", f"{difference:.2f} s")
    for way, sizes in (("from a site", ups), ("to a site", downs)):
        share = statistics.median(sizes) / adapter
        table.add_row(
            f"bytes {way} in a round, median", f"{statistics.median(sizes):,.0f} ({share - 1:+.1%})"
        )
    same = (real.run.directory / "adapter" / "adapter_model.safetensors").read_bytes() == (
        simulated.run.directory / "adapter" / "adapter_model.safetensors"
    ).read_bytes()
    table.add_row("same adapter", str(same))
    table.add_row("load average", f"{os.getloadavg()[0]:.1f}")
    Console().print(table)


def round_seconds(config: RunConfig) -> list[float]:
    lines = map(json.loads, (config.run.directory / "metrics.jsonl").read_text().splitlines())
    return [line["machine"]["seconds"] for line in lines if line["scope"] == "round"]


if __name__ == "__main__":
    main()
