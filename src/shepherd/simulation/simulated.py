"""What simulated systems have in common: devices, when they are there, who is lost, and what it takes them."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from shepherd.errors import ShepherdError
from shepherd.messages import ClientUpdate
from shepherd.participation.base import Candidates
from shepherd.simulation.availability import Always, Availability, Diurnal
from shepherd.simulation.base import Arrived, Invited, System
from shepherd.simulation.classes import Classes, Lognormal
from shepherd.simulation.device_file import DeviceFile
from shepherd.simulation.devices import Devices
from shepherd.simulation.dropout import Dropout
from shepherd.simulation.fleet import Fleet
from shepherd.simulation.intervals import Intervals
from shepherd.simulation.journey import Journey
from shepherd.simulation.workload import Workload
from shepherd.strategy import one_of
from shepherd.tree import Tree
from shepherd.units import counted, size, whole

log = logging.getLogger(__name__)
DevicesChoice: Any = one_of(Devices, Classes, Lognormal, DeviceFile)
AvailabilityChoice: Any = one_of(Availability, Always, Diurnal, Intervals)
_COUNTED_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Asked:
    """Who of those that were chosen can be asked, and why the others cannot.

    Attributes
    ----------
    clients : list of int
        In the order in which they were chosen.
    figures : mapping of str to float
        How many cannot: away, or of too little memory.
    """

    clients: list[int]
    figures: Mapping[str, float]


class Simulated(System):
    """Devices of a population, on a virtual clock.

    A client that is asked receives the adapter, computes, and sends its update: latency and bytes over its bandwidth
    each way, and between them, for every token, 4 operations for each frozen parameter and 6 for each trained one
    (`Workload`), over what its device does a second; an adapter of its own that it trains besides (``ditto``,
    ``feddpa-t``) takes as long again for each example, and losses that are needed before (``qfedavg``, ``afl``, the
    reference of ``dpo``) 2 operations for each parameter and token. Only training is on the clock: what a coreset or a
    participation asks of clients before, aggregation and evaluation are not.

    A device without the memory for the model is never asked. One that goes away before its update has arrived is lost,
    as if it had dropped out then.

    Attributes
    ----------
    devices : Devices
        Who has which device.
    availability : Availability
        When they are there.
    dropout : Dropout
        How probable it is that a client is lost.
    pause_s : float
        How long the server waits, in seconds, before another round where nobody that was chosen could be asked.
    """

    devices: DevicesChoice = Classes()
    availability: AvailabilityChoice = Always()
    dropout: Dropout = Dropout()
    pause_s: float = Field(600.0, gt=0)

    def init(self) -> Tree:
        """Begin the clock at midnight."""
        return {"clock_s": 0.0}

    def check(self, names: Sequence[str]) -> None:
        """Read the files, and refuse what cannot be used; see `System.check`."""
        self.devices.check(names)
        self.availability.check(names)

    def facts(self, names: Sequence[str], seed: int, work: Workload) -> dict[str, Any]:
        """Return how many devices cannot hold the model, and fingerprints of the files; see `System.facts`."""
        able = 0
        for first in range(0, len(names), _COUNTED_AT_ONCE):
            part = np.arange(first, min(len(names), first + _COUNTED_AT_ONCE))
            memory = self.devices.profiles(part, names, seed).memory_bytes
            able += int((memory >= work.memory_bytes).sum())
        small, needs = len(names) - able, size(work.memory_bytes)
        if able == 0:
            raise ShepherdError(
                f"No client's device can hold the model, which takes {needs} to train; choose a smaller "
                "model.base, model.quantisation, or system.devices of more memory."
            )
        if small:
            log.warning(
                "%s of %s clients are never asked: the model takes %s to train, and their devices have less.",
                whole(small),
                whole(len(names)),
                needs,
            )
        return {
            "memory_needed_bytes": work.memory_bytes,
            "clients_too_small": small,
            "flops_per_token": work.flops_per_token,
            "fingerprint": self.devices.check(names) + self.availability.check(names),
        }

    def fleet(self, candidates: Candidates, work: Workload, state: Tree) -> Fleet:
        """Return the devices as the round begins; see `System.fleet`."""
        return Fleet.of(self.devices, self.availability, candidates, work, state["clock_s"], self.busy(state))

    def busy(self, state: Tree) -> frozenset[int]:
        """Return who is still at work as a round begins; nobody, where every round ends with everybody."""
        return frozenset()

    def asked(self, chosen: Sequence[int], fleet: Fleet) -> Asked:
        """Return who of those that were chosen is there, idle and able."""
        large = fleet.large_enough(chosen)
        there = fleet.until(chosen, fleet.now) > fleet.now
        able = zip(chosen, large & there, strict=True)
        clients = [client for client, both in able if both and client not in fleet.busy]
        figures = {
            "clients_too_small": int((~large).sum()),
            "clients_away": int((large & ~there).sum()),
        }
        return Asked(clients, figures)

    def useful(self, clients: Iterable[int], candidates: Candidates) -> list[int]:
        """Return those that do not leave before their training is done."""
        drawn = ((client, self.dropout.draw(candidates.seed, candidates.round, client)) for client in clients)
        return [client for client, leaving in drawn if leaving is None or leaving.stage == "after"]

    def why_nobody(self, arrived: Arrived) -> str:
        """Say what became of everybody that was chosen; see `System.why_nobody`."""
        figures = arrived.figures
        fates = [
            (figures["clients_late"], self.too_late),
            (figures["clients_dropped"], "lost on the way (system.dropout, system.availability)"),
            (
                figures["clients_away"],
                "away (system.availability; participation.name=trace chooses among those that are there)",
            ),
            (figures["clients_too_small"], "of too little memory (system.devices)"),
        ]
        return ", ".join(f"{counted(int(number), 'client')} {fate}" for number, fate in fates if number)

    @property
    def too_late(self) -> str:
        """What is said of clients whose updates came too late, and what would help them."""
        return "too late"

    def journeys(
        self,
        invited: Invited,
        updates: Mapping[int, ClientUpdate],
        down_bytes: Mapping[int, int],
        candidates: Candidates,
        fleet: Fleet,
    ) -> dict[int, Journey]:
        """Return the ways of those that have an update, or are lost, were they all asked when `fleet` was looked at.

        Whom a coreset left out, of those that were invited, has neither.
        """
        lost = set(invited.everybody) - set(invited.training)
        clients = [client for client in invited.everybody if client in updates or client in lost]
        if not clients:
            return {}
        up = {client: update.wire_bytes for client, update in updates.items()}
        up = {client: up.get(client, fleet.work.bytes_up(client)) for client in clients}
        tokens = self._tokens(clients, updates, candidates, fleet.work)
        examples = [
            updates[client].selected if client in updates else int(candidates.sizes[client])
            for client in clients
        ]
        operations = [fleet.work.operations(own, count) for own, count in zip(tokens, examples, strict=True)]
        profiles = fleet.profiles(clients)
        parts = zip(
            profiles.download_seconds(np.array([down_bytes[client] for client in clients], dtype=np.float64)),
            profiles.compute_seconds(np.array(operations)),
            profiles.upload_seconds(np.array([up[client] for client in clients], dtype=np.float64)),
            strict=True,
        )
        found = {}
        for client, own, (download, compute, upload) in zip(clients, tokens, parts, strict=True):
            leaving = self.dropout.draw(candidates.seed, candidates.round, client)
            leaves = math.inf if leaving is None else leaving.seconds(download, compute, upload)
            sent = 0 if leaving is not None and leaving.stage == "before" else down_bytes[client]
            found[client] = Journey(
                fleet.now,
                float(download),
                float(compute),
                float(upload),
                float(leaves),
                float(own),
                sent,
                up[client],
            )
        return found

    def _tokens(
        self,
        clients: Sequence[int],
        updates: Mapping[int, ClientUpdate],
        candidates: Candidates,
        work: Workload,
    ) -> list[float]:
        """Return what each trains on: counted where it trained, expected by the round's others where it did not."""
        held = sum(int(candidates.sizes[client]) for client in updates)
        each = sum(update.tokens for update in updates.values()) / held if held else None

        def expected(client: int) -> float:
            """Return what a client that left first would have trained on."""
            examples = int(candidates.sizes[client])
            return work.expected_tokens(examples) if each is None else each * examples

        return [
            float(updates[client].tokens) if client in updates else expected(client) for client in clients
        ]


def staying(journey: Journey, until: float) -> Journey:
    """Return the way of a client that is there until a moment on the clock, at most."""
    left = until - journey.begun
    return journey if journey.leaves <= left else Journey(**{**vars(journey), "leaves": float(left)})
