"""How many sites one coordinator holds: light sites that answer without training, and a round of messages to all.

    OMP_NUM_THREADS=1 python benchmarks/federation_sites.py --sites 100 --rounds 3

Each site is a thread with a TLS connection and a key of its own, which speaks Flower's fleet protocol as a SuperNode
does and answers "train" with an update of the asked adapter's size. SuperLink, gate, link and backend are the real
ones. A SuperNode is a process of 100 MB and more; a hundred of them would measure this machine, not the coordinator.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "deploy"))
from real_federation import new_federation

from shepherd.client import ClientSide
from shepherd.config import parse_config
from shepherd.deploy.backend import FlowerBackend
from shepherd.deploy.child import wait_until
from shepherd.deploy.coordinating import connected, local_address
from shepherd.deploy.exchange import Patience
from shepherd.deploy.folder import FederationFolder
from shepherd.deploy.messages import Trained
from shepherd.deploy.supernode import Pauses
from shepherd.deploy.wire import Envelope
from shepherd.machine import peak_memory_bytes
from shepherd.messages import ClientJob
from shepherd.model.adapter import Adapter


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sites", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parameters", type=int, default=262_144, help="of the adapter; 4 bytes each")
    options = parser.parse_args()
    names = [f"site-{number:03d}" for number in range(options.sites)]
    adapter = Adapter({"layer.lora_A.weight": torch.zeros(16, options.parameters // 16)})
    with tempfile.TemporaryDirectory() as place:
        folder = new_federation(Path(place) / "coordinator", names, "none")
        began = time.perf_counter()
        with connected(folder) as link:
            up = time.perf_counter() - began
            stopped = threading.Event()
            for name in names:
                threading.Thread(target=light_site, args=(folder, name, stopped), daemon=True).start()
            joined = wait_until(lambda: len(link.online()) == len(names), 300, 1.0)
            together = time.perf_counter() - began - up
            side, everyone = ClientSide.of(parse_config({})), len(names)
            backend = FlowerBackend(link, names, "benchmark", {}, side, Patience(300.0), everyone)
            seconds = [one_round(backend, adapter, round) for round in range(options.rounds)]
            stopped.set()
    report(options, up, together, joined, seconds, adapter)


def one_round(backend: FlowerBackend, adapter: Adapter, round: int) -> float:
    """Return how long it takes to have every site's update."""
    began = time.perf_counter()
    jobs = [ClientJob(client, round, 10, 0, adapter) for client in range(len(backend.sites))]
    updates = sum(1 for _ in backend.train(jobs))
    assert updates == len(jobs), f"{updates} of {len(jobs)} came"
    return time.perf_counter() - began


def light_site(folder: FederationFolder, name: str, stopped: threading.Event) -> None:
    """Be a site that answers without training, until told to stop."""
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key
    from flwr.supernode.fleet_http_connection import http_request_response

    key: Any = load_ssh_private_key((folder.bundle(name) / "site.key").read_bytes(), None)
    address, authority = local_address(folder.settings), folder.authority.read_bytes()
    with http_request_response(address, False, authority, (key, key.public_key())) as connection:
        pauses = Pauses()
        while not stopped.is_set():
            if answered(connection):
                pauses.busy = time.monotonic()
            else:
                pauses.sleep(3.0)


def answered(connection: Any) -> bool:
    """Take a message and answer it; False if there is none."""
    from flwr.app import Message
    from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
    from flwr.supercore.inflatable.inflatable_utils import pull_and_inflate_object_from_tree

    from shepherd.deploy.flower_records import from_records, to_records

    _, receive, send, _, _, pull_object, push_object, confirm = connection
    received = receive()
    if received is None:
        return False
    message, tree = received
    run = message.metadata.run_id
    whole = pull_and_inflate_object_from_tree(
        tree, lambda id: pull_object(run, id), lambda id: confirm(run, id), return_type=Message
    )
    whole.metadata.__dict__["_message_id"] = tree.object_id
    reply = Message(to_records(answer(from_records(whole.content))), reply_to=whole)
    reply.metadata.__dict__["_message_id"] = reply.object_id
    objects = get_all_nested_objects(reply)
    wanted, session = send(reply, get_object_tree(reply), 0.0)
    for id, one in objects.items():
        if id in wanted:
            push_object(run, session, id, one.deflate())
    return True


def answer(asked: Envelope) -> Envelope:
    """Return an update of the asked adapter's size, another one for every site."""
    shift = 1e-3 * (1 + asked.body["client"])
    update = Adapter({name: tensor + shift for name, tensor in load(asked.adapter).items()})
    said = Trained(
        1, 1, 1, 1, 1, train_loss=1.0, train_loss_rms=1.0, update_norm=1.0, seconds=0.0, kept="", said={}
    )
    return asked.answer(asdict(said), update.to_bytes())


def report(
    options: argparse.Namespace,
    up: float,
    together: float,
    joined: bool,
    seconds: list[float],
    adapter: Adapter,
) -> None:
    table = Table(
        title=f"{options.sites} light sites, an adapter of {adapter.wire_bytes / 1e6:.2f} MB each way"
    )
    for column in ("what", "value"):
        table.add_column(column)
    table.add_row("SuperLink up and linked", f"{up:.1f} s")
    table.add_row("all sites connected", f"{together:.1f} s" if joined else "not all within 300 s")
    table.add_row("a round of messages, median", f"{statistics.median(seconds):.1f} s")
    table.add_row("every round", ", ".join(f"{one:.1f}" for one in seconds) + " s")
    table.add_row("coordinator's and sites' process, most memory", f"{peak_memory_bytes() / 1e6:.0f} MB")
    table.add_row("load average", f"{os.getloadavg()[0]:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
