"""The devices as a round begins: who is there and able, and how long it would take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from shepherd.participation.base import Candidates
from shepherd.simulation.availability import Availability
from shepherd.simulation.devices import Devices, Profiles
from shepherd.simulation.draws import BLOCK
from shepherd.simulation.workload import Workload


@dataclass(frozen=True)
class Fleet:
    """Everybody's devices at one moment; worked out for those who are asked about, a block of clients at a time.

    Attributes
    ----------
    devices : Devices
        Who has which.
    availability : Availability
        When they are there.
    names : sequence of str, [clients]
        Their names.
    seed : int
        The run's.
    work : Workload
        What is asked of them.
    now : float
        The time on the virtual clock, in seconds.
    busy : frozenset of int
        Who is still at something else.
    """

    devices: Devices
    availability: Availability
    names: Sequence[str]
    seed: int
    work: Workload
    now: float = 0.0
    busy: frozenset[int] = frozenset()
    _blocks: dict[int, tuple[Profiles, np.ndarray]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        devices: Devices,
        availability: Availability,
        candidates: Candidates,
        work: Workload,
        now: float,
        busy: frozenset[int] = frozenset(),
    ) -> Fleet:
        """Take names and seed from `candidates`; the others are as the attributes."""
        names = candidates.names or [str(client) for client in range(len(candidates.sizes))]
        return cls(devices, availability, names, candidates.seed, work, now, busy)

    def profiles(self, clients: Sequence[int]) -> Profiles:
        """Return the devices of `clients`."""
        return self.devices.profiles(clients, self.names, self.seed)

    def until(self, clients: Sequence[int], moment: float) -> np.ndarray:
        """Return until when each of `clients` is there, on the clock; `moment` of those that are not there then."""
        return self.availability.until(clients, self.names, self.seed, moment)

    def large_enough(self, clients: Sequence[int]) -> np.ndarray:
        """Return which of `clients` have the memory for the model, as bools."""
        found: np.ndarray = self.profiles(clients).memory_bytes >= self.work.memory_bytes
        return found

    def available(self, client: int) -> bool:
        """Say whether a client is there now, idle, and able to hold the model."""
        return client not in self.busy and bool(self._block(client)[1][client % BLOCK])

    def expected_seconds(self, client: int, examples: int) -> float:
        """Return how long a client that holds so many examples is expected to take, transfers included."""
        profiles, place = self._block(client)[0], client % BLOCK
        operations = self.work.operations(self.work.expected_tokens(examples), examples)
        transfer = (
            2 * profiles.latency_s[place]
            + self.work.bytes_down(client) / profiles.download_bytes_per_s[place]
            + self.work.bytes_up(client) / profiles.upload_bytes_per_s[place]
        )
        return float(operations / profiles.flops[place] + transfer)

    def _block(self, client: int) -> tuple[Profiles, np.ndarray]:
        """Return the devices of a client's block, and which of them are there and able."""
        number = client // BLOCK
        if number not in self._blocks:
            clients = range(number * BLOCK, min(len(self.names), (number + 1) * BLOCK))
            profiles = self.profiles(clients)
            able = profiles.memory_bytes >= self.work.memory_bytes
            self._blocks[number] = profiles, able & (self.until(clients, self.now) > self.now)
        return self._blocks[number]
