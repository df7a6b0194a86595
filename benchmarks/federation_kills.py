"""Random kills: SIGKILL to any process of a real federation, again and again, until its runs have ended all the same.

    OMP_NUM_THREADS=1 python benchmarks/federation_kills.py --kills 200

Three sites and a coordinator on this machine, over TLS, with `lamb` and a few examples. Every few seconds one process
is drawn and killed: the coordinator, its SuperLink, a site, or a site's SuperNode. Coordinator and sites are started
again as systemd would (with --resume), the others by those that watch them. A run that ends must have the simulator's
adapter, byte for byte; then the next begins. Rounds wait for every site, so that no update is left out.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "deploy"))
from real_federation import new_federation, start, start_site, stop
from site_files import NAMES, file_of, write_site_files

from shepherd.config import load_config
from shepherd.deploy.folder import FederationFolder
from shepherd.runs import execute


@dataclass
class Tally:
    """What has happened."""

    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    wrong: int = 0
    stuck: int = 0
    seconds: list[float] = field(default_factory=list)


@dataclass
class Federation:
    """The processes, kept running."""

    folder: FederationFolder
    files: Path
    place: Path
    config: Path
    coordinator: subprocess.Popen[bytes] | None = None
    sites: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def keep_up(self) -> None:
        """Start what has ended again, but for a coordinator that has finished."""
        for name in NAMES:
            if name not in self.sites or self.sites[name].poll() is not None:
                data = file_of(self.files, name)
                self.sites[name] = start_site(self.folder.bundle(name), data, self.place / f"{name}.log")
        if self.coordinator is None or self.coordinator.poll() not in (None, 0):
            arguments = ("coordinator", self.folder.path, self.config, "--resume")
            self.coordinator = start(*arguments, log=self.place / "coordinator.log")

    def kill_one(self, draw: random.Random) -> str:
        """Kill a process drawn from all of them, and say which it was."""
        assert self.coordinator is not None
        found = {"coordinator": self.coordinator.pid, **{name: site.pid for name, site in self.sites.items()}}
        for owner, pid in list(found.items()):
            for child in psutil.Process(pid).children() if psutil.pid_exists(pid) else ():
                found["SuperLink" if owner == "coordinator" else f"SuperNode of {owner}"] = child.pid
        kind = draw.choice(sorted(found))
        os.kill(found[kind], signal.SIGKILL)
        return kind.replace(kind.rpartition(" ")[2], "a site") if kind.rpartition(" ")[2] in NAMES else kind


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--between", type=float, nargs=2, default=(5.0, 40.0), help="seconds between two kills"
    )
    parser.add_argument("--patience", type=float, default=600.0, help="seconds without a committed round")
    options = parser.parse_args()
    draw, tally = random.Random(options.seed), Tally()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "data").mkdir()
        files = write_site_files(place / "data")
        folder = new_federation(
            place / "coordinator", NAMES, "lamb", join_timeout_s=600.0, round_timeout_s=600.0
        )
        federation = Federation(folder, files, place, place / "config.yaml")
        try:
            while sum(tally.kills.values()) < options.kills and not tally.stuck:
                one_run(federation, options, draw, tally)
        finally:
            stop(*filter(None, [federation.coordinator, *federation.sites.values()]))
    report(tally)


def one_run(federation: Federation, options: argparse.Namespace, draw: random.Random, tally: Tally) -> None:
    """Carry a run to its end against kills, and check its adapter."""
    values = {
        "seed": tally.runs,
        "rounds": options.rounds,
        "data": {"prompt": "plain", "max_tokens": 64},
        "allocation": {"name": "files", "path": str(federation.files)},
        "participation": {"name": "random", "fraction": 1.0},
        "training": {"lr": 1e-2, "batch_size": 4, "stateful": True},
        "evaluation": {"answers": 0},
        "run": {"root": str(federation.place / "runs"), "name": f"run-{tally.runs}", "threads": 1},
    }
    federation.config.write_text(yaml.safe_dump(values))
    config = load_config(str(federation.config))
    federation.coordinator, began = None, time.monotonic()
    federation.keep_up()
    next_kill, seen, since = time.monotonic() + draw.uniform(*options.between), -1, time.monotonic()
    while federation.coordinator is None or federation.coordinator.poll() != 0:
        time.sleep(0.5)
        rounds = len(list((config.run.directory / "checkpoints").glob("round-*")))
        newest = max(
            (int(p.name[-6:]) for p in (config.run.directory / "checkpoints").glob("round-*")), default=rounds
        )
        if newest != seen:
            seen, since = newest, time.monotonic()
        if time.monotonic() - since > options.patience:
            tally.stuck += 1
            print(f"stuck after round {seen}; the logs are in {federation.place}", flush=True)
            return
        if time.monotonic() > next_kill and sum(tally.kills.values()) < options.kills:
            tally.kills[federation.kill_one(draw)] += 1
            next_kill = time.monotonic() + draw.uniform(*options.between)
        federation.keep_up()
    tally.runs += 1
    tally.seconds.append(time.monotonic() - began)
    simulated = load_config(str(federation.config), [f"run.name=simulated-{tally.runs}"])
    execute(simulated)
    wanted, found = (
        (one.run.directory / "adapter" / "adapter_model.safetensors").read_bytes()
        for one in (simulated, config)
    )
    tally.wrong += wanted != found
    print(
        f"run {tally.runs}: {sum(tally.kills.values())} kills so far, same adapter: {wanted == found}",
        flush=True,
    )


def report(tally: Tally) -> None:
    table = Table(title=f"{sum(tally.kills.values())} kills")
    for column in ("what", "value"):
        table.add_column(column)
    for kind, count in sorted(tally.kills.items()):
        table.add_row(f"killed: {kind}", str(count))
    table.add_row("runs ended", str(tally.runs))
    table.add_row("wrong adapters", str(tally.wrong))
    table.add_row("stuck runs", str(tally.stuck))
    if tally.seconds:
        table.add_row("a run, median", f"{statistics.median(tally.seconds):.0f} s")
    Console().print(table)


if __name__ == "__main__":
    main()
