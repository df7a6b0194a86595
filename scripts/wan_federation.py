"""A federation over an emulated wide-area network: Dolly by four sites, each in a network namespace of its own.

    sudo python scripts/wan_federation.py --data databricks-dolly-15k.jsonl --wan wan.py --rows 600 --rounds 10
    sudo python scripts/wan_federation.py ... --kill          # one site killed twice, the coordinator killed once

`--wan` is a program that forwards packets between namespaces: ``wan.py DELAY_MS RATE_MBIT LOSS NAMESPACE=IP ...``.
Linux only, as root. The sites are FedIT's three single clients (brainstorming; closed QA; classification and
brainstorming) and one with the rest; the adapter is compared with the simulator's, byte for byte. Leaves everything
under --root.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from shepherd.config import load_config
from shepherd.data.allocation.base import Allocated
from shepherd.data.client_files import write_client_files
from shepherd.data.instructions import read_instructions
from shepherd.deploy.folder import FederationFolder
from shepherd.deploy.proposed_limits import proposed_limits
from shepherd.deploy.settings import FederationSettings
from shepherd.runs import execute

SITES = {
    "a-brainstorming": ("brainstorming",),
    "b-closed-qa": ("closed_qa",),
    "c-classification": ("classification", "brainstorming"),
    "d-rest": (),
}
COORDINATOR = "shepherd-coordinator"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--wan", required=True, type=Path)
    parser.add_argument("--root", type=Path, default=Path("wan-federation"))
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--delay-ms", type=float, default=25, help="one way")
    parser.add_argument("--rate-mbit", type=float, default=10)
    parser.add_argument("--kill", action="store_true")
    options = parser.parse_args()
    options.root = options.root.resolve()
    files = write_files(options)
    config = options.root / "config.yaml"
    config.write_text(yaml.safe_dump(values(options, files)))
    folder = make_federation(options, config)
    network = Network(options)
    try:
        seconds = federate(options, folder, config, files, network)
    finally:
        network.close()
    compare(options, config, seconds, network)


def write_files(options: argparse.Namespace) -> Path:
    """Deal the rows to the four sites and a hold-out; brainstorming is halved between the two that hold it."""
    everything = read_instructions(options.data)
    rows = everything.select(np.linspace(0, len(everything) - 1, options.rows).astype(int))
    categories, dealt = rows.categories(), {name: list[int]() for name in SITES}
    held_out = list(range(0, len(rows), 8))
    turn = 0
    for row in sorted(set(range(len(rows))) - set(held_out)):
        holders = [name for name, kinds in SITES.items() if categories[row] in kinds] or ["d-rest"]
        dealt[holders[turn % len(holders)]].append(row)
        turn += len(holders) > 1
    order = [row for found in dealt.values() for row in found]
    places = iter(range(len(order)))
    allocated = Allocated(list(SITES), [np.array([next(places) for _ in found]) for found in dealt.values()])
    folder = options.root / "data"
    write_client_files(folder, rows.select(np.array(order)), rows.select(np.array(held_out)), allocated)
    return folder


def values(options: argparse.Namespace, files: Path) -> dict[str, Any]:
    return {
        "rounds": options.rounds,
        "model": {"base": "lamb"},
        "data": {"max_tokens": 256},
        "allocation": {"name": "files", "path": str(files)},
        "participation": {"name": "random", "fraction": 1.0},
        "training": {"lr": 3e-3},
        "run": {
            "root": str(options.root / "runs"),
            "name": "killed" if options.kill else "real",
            "threads": 1,
        },
    }


def make_federation(options: argparse.Namespace, config: Path) -> FederationFolder:
    folder = FederationFolder(options.root / "federation")
    if not folder.path.exists():
        settings = {"federation": os.urandom(8).hex(), "name": "wan", "host": "10.78.0.1", "port": 8443}
        folder.init(
            FederationSettings.model_validate({**settings, "minimum_updates": 1, "round_timeout_s": 900})
        )
        for name in SITES:
            folder.add_site(name, proposed_limits(load_config(str(config))))
    return folder


class Network:
    """Namespaces that reach one another only through the emulator."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.spaces = {COORDINATOR: "10.78.0.1", **{name: f"10.78.0.{2 + i}" for i, name in enumerate(SITES)}}
        for space in self.spaces:
            subprocess.run(["ip", "netns", "del", space], check=False, capture_output=True)
            subprocess.run(["ip", "netns", "add", space], check=True)
            subprocess.run(["ip", "-n", space, "link", "set", "lo", "up"], check=True)
        named = [f"{space}={address}" for space, address in self.spaces.items()]
        command = [
            sys.executable,
            str(options.wan.resolve()),
            str(options.delay_ms),
            str(options.rate_mbit),
            "0",
        ]
        self.emulator = subprocess.Popen([*command, *named], cwd=options.root)
        time.sleep(2)

    def start(self, space: str, log: Path, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """Start a `shepherd` command in a namespace."""
        with log.open("ab") as stream:
            command = ["ip", "netns", "exec", space, sys.executable, "-m", "shepherd", *map(str, arguments)]
            return subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)

    def bytes_of(self, space: str) -> tuple[int, int]:
        """Return the bytes a namespace has sent and received."""
        shown = subprocess.run(
            ["ip", "-n", space, "-j", "-s", "link"], check=True, capture_output=True
        ).stdout
        link = next(one for one in json.loads(shown) if one["ifname"].startswith("wan"))
        return link["stats64"]["tx"]["bytes"], link["stats64"]["rx"]["bytes"]

    def close(self) -> None:
        """Take everything down again."""
        self.emulator.terminate()
        self.emulator.wait()
        for space in self.spaces:
            subprocess.run(["ip", "netns", "del", space], check=False)


def federate(
    options: argparse.Namespace, folder: FederationFolder, config: Path, files: Path, network: Network
) -> float:
    """Run it, with or without kills; return the seconds it took."""
    logs, began = options.root, time.perf_counter()
    coordinator = network.start(COORDINATOR, logs / "coordinator.log", "coordinator", folder.path, config)
    sites = {}
    for number, name in enumerate(SITES):
        data = files / f"local_training_{number}.jsonl"
        sites[name] = network.start(name, logs / f"{name}.log", "site", folder.bundle(name), "--data", data)
    run = load_config(str(config)).run.directory
    try:
        if options.kill:
            for committed in (2, 4):
                wait_for_round(run, committed, coordinator)
                name = "b-closed-qa"
                kill(sites[name])
                data = files / f"local_training_{list(SITES).index(name)}.jsonl"
                sites[name] = network.start(
                    name, logs / f"{name}.log", "site", folder.bundle(name), "--data", data
                )
            wait_for_round(run, 6, coordinator)
            kill(coordinator)
            coordinator = network.start(
                COORDINATOR, logs / "coordinator.log", "coordinator", folder.path, config, "--resume"
            )
        code = coordinator.wait()
        if code != 0:
            raise SystemExit(f"The coordinator ended with {code}; see {logs / 'coordinator.log'}.")
        seconds = time.perf_counter() - began
        for name in network.spaces:
            print(f"{name}: {network.bytes_of(name)} bytes sent and received", flush=True)
        return seconds
    finally:
        for process in (coordinator, *sites.values()):
            process.terminate()
        for process in (coordinator, *sites.values()):
            process.wait()


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill without a warning what `ip netns exec` became."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def wait_for_round(run: Path, round: int, coordinator: subprocess.Popen[bytes]) -> None:
    while coordinator.poll() is None:
        if (run / "checkpoints" / f"round-{round:06d}").exists():
            return
        time.sleep(0.5)


def compare(options: argparse.Namespace, config: Path, seconds: float, network: Network) -> None:
    """Simulate the same, and say how the two differ."""
    real = load_config(str(config))
    simulated = load_config(str(config), ["run.name=simulated"])
    if not (simulated.run.directory / "adapter").exists():
        execute(simulated)
    wanted, found = (
        (one.run.directory / "adapter" / "adapter_model.safetensors").read_bytes()
        for one in (simulated, real)
    )
    lines = [json.loads(line) for line in (real.run.directory / "metrics.jsonl").read_text().splitlines()]
    rounds = [line for line in lines if line["scope"] == "round"]
    took = [line["machine"]["seconds"] for line in rounds]
    losses = [line["loss"] for line in lines if line["scope"] == "global"]
    print(f"{seconds:.0f} s in all; seconds a round: {', '.join(f'{one:.1f}' for one in took)}")
    print(f"updates a round: {[line['clients'] for line in rounds]}; adapter {len(found):,} bytes")
    print(f"loss {losses[0]:.4f} -> {losses[-1]:.4f}; same adapter as simulated: {found == wanted}")


if __name__ == "__main__":
    main()
