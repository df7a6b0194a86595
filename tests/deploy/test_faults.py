"""Processes that are killed, for real: the run goes on or is resumed, and its adapter is the simulator's."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import yaml

pytest.importorskip("flwr")

from forwarder import Forwarder
from real_federation import new_federation, start, start_site, stop, wait_for
from site_files import NAMES, all_sites, file_of, write_site_files

from shepherd.config import RunConfig, parse_config
from shepherd.deploy.folder import FederationFolder
from shepherd.runs import execute
from tiny_runs import adapter_bytes, tiny_values

pytestmark = [pytest.mark.timeout(1800), pytest.mark.slow]
ROUNDS = 12  # of a tiny model: long enough to kill somebody in the middle


@dataclass
class Running:
    """A federation as its people run it: a coordinator and sites, each a command."""

    place: Path
    folder: FederationFolder
    config: RunConfig
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start_site(self, name: str, *more: str | Path) -> None:
        """Start a site, or start it again."""
        data = file_of(self.place / "data", name)
        self.processes[name] = start_site(self.folder.bundle(name), data, self.log(name), *more)

    def log(self, name: str) -> Path:
        """Where a process says what it does."""
        return self.place / f"{name}.log"

    def has_said(self, name: str, sentence: str) -> None:
        """Wait until a process has said a sentence."""
        wait_for(lambda: sentence in self.log(name).read_text(), 600, f"{name}'s '{sentence}'")

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
            600,
            f"round {round}",
        )

    def finish(self) -> None:
        """Wait for the end, and compare with the simulator."""
        assert self.processes["coordinator"].wait(900) == 0, (self.place / "coordinator.log").read_text()
        simulated = self.config.model_copy(
            update={"run": self.config.run.model_copy(update={"name": "simulated"})}
        )
        execute(simulated)
        assert adapter_bytes(self.config) == adapter_bytes(simulated)


@pytest.fixture
def made(tiny_base: Path, tmp_path: Path) -> Iterator[Running]:
    """Three sites and a coordinator, not started; what stateful clients keep must survive everything."""
    (tmp_path / "data").mkdir()
    files = write_site_files(tmp_path / "data")
    folder = new_federation(
        tmp_path / "coordinator", NAMES, tiny_base, round_timeout_s=600.0, join_timeout_s=600.0
    )
    values = tiny_values(
        tiny_base,
        tmp_path / "runs",
        rounds=ROUNDS,
        **all_sites(files),
        training={"lr": 1e-2, "batch_size": 4, "stateful": True},
        evaluation={"every": ROUNDS, "answers": 0},
    )
    found = Running(tmp_path, folder, parse_config(values))
    try:
        yield found
    finally:
        stop(*found.processes.values())


@pytest.fixture
def running(made: Running) -> Running:
    """The same, started."""
    made.coordinate()
    for name in NAMES:
        made.start_site(name)
    return made


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own with just enough room for a site."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=300m", "tmpfs", str(place)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root may mount a disk")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


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


def test_a_second_site_with_the_same_key_is_not_let_in(made: Running) -> None:
    """The other sites come when the twin has been refused: a small run would be over before a twin is up."""
    made.coordinate()
    made.start_site("anna")
    wait_for(lambda: "Connected" in (made.place / "anna.log").read_text(), 120, "anna's connection")
    log = made.place / "twin.log"
    arguments = ("--data", file_of(made.place / "data", "anna"), "--state", made.place / "twin")
    made.processes["twin"] = start("site", made.folder.bundle("anna"), *arguments, log=log)
    wait_for(lambda: "does not let this site in" in log.read_text(), 120, "the twin's refusal")
    for name in NAMES:
        if name != "anna":
            made.start_site(name)
    made.finish()


@pytest.mark.parametrize("seconds", [15, 90])
def test_a_network_that_is_cut_for_a_while_costs_no_round(made: Running, seconds: int) -> None:
    file = made.folder.bundle("berta") / "site.yaml"
    with Forwarder(made.folder.settings.port) as network:
        changed = {**yaml.safe_load(file.read_text()), "address": f"127.0.0.1:{network.port}"}
        file.write_text(yaml.safe_dump(changed))
        made.coordinate()
        for name in NAMES:
            made.start_site(name)
        made.wait_for_round(3)
        network.cut()
        time.sleep(seconds)
        network.mend()
        made.finish()


def fill_disk(file: Path) -> None:
    """Write until there is no room."""
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(4096))


def test_a_site_whose_disk_is_full_is_left_out_until_there_is_room(made: Running, small_disk: Path) -> None:
    made.coordinate()
    for name in NAMES:
        made.start_site(name, *(("--state", small_disk / "state") if name == "berta" else ()))
    made.wait_for_round(1)
    filler = small_disk / "filler"
    fill_disk(filler)
    made.has_said("coordinator", "Site 'berta' is not part of round")
    assert "the disk is full" in made.log("berta").read_text()
    filler.unlink()
    assert made.processes["coordinator"].wait(900) == 0, made.log("coordinator").read_text()
    events = [json.loads(line) for line in (made.config.run.directory / "log.jsonl").read_text().splitlines()]
    assert {event["site"] for event in events if event["event"] == "lost"} == {"berta"}
    assert [event["site"] for event in events if event["event"] == "trained"][-3:].count("berta") == 1
