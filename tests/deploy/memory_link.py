"""A link without a network: sites in this process, and every message through its wire form."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from shepherd.deploy.exchange import Received
from shepherd.deploy.refusal import Refused
from shepherd.deploy.wire import Envelope

Answer = Callable[[Envelope], Envelope]


def over_the_wire(envelope: Envelope) -> Envelope:
    """Return what is read at the other end."""
    return Envelope.read(envelope.header(), envelope.buffers())


class MemoryLink:
    """Sites by name; each answers at once. `sent` counts what each was asked."""

    def __init__(self, sites: Mapping[str, Answer]) -> None:
        self.sites = dict(sites)
        self.away: set[str] = set()
        self.removed: set[str] = set()
        self.sent: dict[str, list[Envelope]] = {}
        self.answers: dict[str, Received] = {}

    def online(self) -> Collection[str]:
        """Return who is not away."""
        return set(self.sites) - self.away - self.removed

    def admitted(self) -> Collection[str]:
        """Return who was not removed."""
        return set(self.sites) - self.removed

    def send(self, messages: Mapping[str, Envelope], seconds: float) -> dict[str, str]:
        """Have each site answer."""
        ids = {}
        for site, message in messages.items():
            asked = self.sent.setdefault(site, [])
            asked.append(message)
            ids[site] = f"{site}-{len(asked)}"
            try:
                answer = over_the_wire(self.sites[site](over_the_wire(message)))
                self.answers[ids[site]] = Received(ids[site], answer)
            except Refused as error:
                self.answers[ids[site]] = Received(ids[site], reason=str(error))
        return ids

    def receive(self, ids: Collection[str]) -> list[Received]:
        """Return the answers, last one first: the order in which they come must not matter."""
        return [self.answers.pop(id) for id in sorted(ids, reverse=True) if id in self.answers]
