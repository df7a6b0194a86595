"""Processes that are killed, for real: the run goes on or is resumed, and its adapter is the simulator's."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import yaml

pytest.importorskip("flwr")

from real_federation import new_federation, start, start_site, stop, wait_for
from site_files import NAMES, file_of, write_site_files

from shepherd.config import RunConfig, parse_config
from shepherd.deploy.folder import FederationFolder
from shepherd.runs import execute
from tiny_runs import tiny_values

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]
ROUNDS = 12  # of a tiny model: long enough to kill somebody in the middle


@dataclass
class Running:
    """A federation as its people run it: a coordinator and sites, each a command."""

    place: Path
    folder: FederationFolder
    config: RunConfig
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start_site(self, name: str) -> None:
        """Start a site, or start it again."""
        data = file_of(self.place / "data", name)
        self.processes[name] = start_site(self.folder.bundle(name), data, self.place / f"{name}.log")

    def coordinate(self) -> None:
        """Start the coordinator, or go on."""
        file = self.place / "config.yaml"
        file.write_text(yaml.safe_dump(self.config.resolved()))
        arguments = ("coordinator", self.folder.path, file, "--resume")
        self.processes["coordinator"] = start(*arguments, log=self.place / "coordinator.log")

    def kill(self, name: str) -> None:
        """Kill a process without a warning."""
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()

    def kill_child(self, name: str, module: str) -> None:
        """Kill a process that another one watches."""
        for child in psutil.Process(self.processes[name].pid).children():
            if module in " ".join(child.cmdline()):
                child.kill()

    def wait_for_round(self, round: int) -> None:
        """Wait until so many rounds are committed."""
        checkpoints = self.config.run.directory / "checkpoints"
        wait_for(
            lambda: any(int(path.name[-6:]) >= round for path in checkpoints.glob("round-*")),
            200,
            f"round {round}",
        )

    def finish(self) -> None:
        """Wait for the end, and compare with the simulator."""
        assert self.processes["coordinator"].wait(300) == 0, (self.place / "coordinator.log").read_text()
        simulated = self.config.model_copy(
            update={"run": self.config.run.model_copy(update={"name": "simulated"})}
        )
        execute(simulated)
        wanted, found = (
            (one.run.directory / "adapter" / "adapter_model.safetensors").read_bytes()
            for one in (simulated, self.config)
        )
        assert found == wanted


@pytest.fixture
def running(tiny_base: Path, tmp_path: Path) -> Iterator[Running]:
    """Three sites and a coordinator, started; what stateful clients keep must survive everything."""
    (tmp_path / "data").mkdir()
    files = write_site_files(tmp_path / "data")
    folder = new_federation(
        tmp_path / "coordinator", NAMES, tiny_base, round_timeout_s=200.0, join_timeout_s=200.0
    )
    values = tiny_values(
        tiny_base,
        tmp_path / "runs",
        rounds=ROUNDS,
        allocation={"name": "files", "path": str(files)},
        participation={"name": "random", "fraction": 1.0},
        training={"lr": 1e-2, "batch_size": 4, "stateful": True},
        evaluation={"every": ROUNDS, "answers": 0},
    )
    found = Running(tmp_path, folder, parse_config(values))
    try:
        found.coordinate()
        for name in NAMES:
            found.start_site(name)
        yield found
    finally:
        stop(*found.processes.values())


def test_a_site_is_killed_in_the_middle_and_started_again(running: Running) -> None:
    running.wait_for_round(3)
    running.kill("berta")
    running.start_site("berta")
    running.finish()


def test_the_coordinator_is_killed_and_resumed(running: Running) -> None:
    running.wait_for_round(3)
    running.kill("coordinator")
    running.coordinate()
    running.finish()


def test_flowers_own_processes_are_killed(running: Running) -> None:
    running.wait_for_round(3)
    running.kill_child("carla", "shepherd.deploy.supernode")
    running.kill_child("coordinator", "shepherd.deploy.superlink")
    running.finish()


def test_a_second_site_with_the_same_key_is_not_let_in(running: Running) -> None:
    running.wait_for_round(1)
    log = running.place / "twin.log"
    arguments = ("--data", file_of(running.place / "data", "anna"), "--state", running.place / "twin")
    running.processes["twin"] = start("site", running.folder.bundle("anna"), *arguments, log=log)
    wait_for(lambda: "does not let this site in" in log.read_text(), 90, "the twin's refusal")
    running.finish()
