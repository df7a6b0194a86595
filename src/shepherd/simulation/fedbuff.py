"""No rounds that wait: the server aggregates whenever enough updates have come, whoever is still at work."""

from __future__ import annotations

import heapq
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from pydantic import Field

from shepherd.messages import ClientUpdate
from shepherd.model.adapter import Layout
from shepherd.participation.base import Candidates
from shepherd.randomness import generator
from shepherd.simulation.base import Arrived, Invited
from shepherd.simulation.figures import round_figures
from shepherd.simulation.fleet import Fleet
from shepherd.simulation.journey import Journey
from shepherd.simulation.simulated import Simulated, staying
from shepherd.simulation.workload import Workload
from shepherd.tree import Tree
from shepherd.units import counted

log = logging.getLogger(__name__)


class FedBuff(Simulated):
    """Buffered asynchronous aggregation (Nguyen et al., arXiv 2106.06639, algorithm 1).

    So many clients work at any time; as soon as one is done, or lost, another is asked and sent the adapter as it is
    then. When the buffer is full the server aggregates it: that is a round. An update is multiplied by
    ``(1 + s) ** -exponent``, where s is its staleness, by how many rounds its adapter was old; the aggregation's own
    weights are as ever, so that with ``fedavg`` and its weights ``uniform`` the step is the paper's.
    What strategies have clients say besides their update is passed on as it is.

    Participation says each round who may be asked; of these, clients are drawn at random that are there, able and not
    at work already, each once a round. With ``participation.fraction=1`` everybody may be, as in the paper. Where too
    few may be, places stay free until the next round; where no more may be than the buffer takes, every round waits for
    everybody, and no update is ever stale.

    The adapter does not change between two aggregations, so a client's update is computed when it is asked, and kept
    until it has arrived. What stateful clients keep, a client keeps once its update is used.

    Attributes
    ----------
    concurrency : int
        How many clients work at any time.
    buffer : int
        How many updates are aggregated together (the paper's K, and its 10).
    exponent : float
        Of the weight by staleness; the paper's 1/2. 0 for equal weights.
    max_staleness : int, optional
        Older updates are thrown away when they arrive.
    """

    stale: ClassVar[bool] = True

    name: str = "fedbuff"
    concurrency: int = Field(20, gt=0)
    buffer: int = Field(10, gt=0)
    exponent: float = Field(0.5, ge=0)
    max_staleness: int | None = Field(None, ge=0)

    def init(self) -> Tree:
        """Begin with nobody at work."""
        return {**super().init(), "flights": {}}

    def warn_of_cohort(self, chosen: int) -> None:
        """Say where nobody is at work when a round ends, which makes the rounds synchronous."""
        if chosen <= self.buffer:
            log.warning(
                "system.name=fedbuff waits for everybody here, as a synchronous system does: participation chooses %s "
                "a round, and system.buffer is %d; set participation.fraction=1.0 or a smaller system.buffer.",
                counted(chosen, "client"),
                self.buffer,
            )
        elif self.concurrency == 1:
            log.warning(
                "system.concurrency is 1, so one client works at a time and no update is ever stale; raise it."
            )

    def busy(self, state: Tree) -> frozenset[int]:
        """Return who is at work."""
        return frozenset(map(int, state["flights"]))

    def invite(self, chosen: Sequence[int], candidates: Candidates, work: Workload, state: Tree) -> Invited:
        """Draw as many as may be asked before the buffer is full; see `System.invite`."""
        asked = self.asked(chosen, self.fleet(candidates, work, state))
        order = generator(candidates.seed, "fedbuff", candidates.round).permutation(len(asked.clients))
        # The free places now, and one more for every update that comes before the last of the buffer, or in vain.
        wanted = self.concurrency - len(state["flights"]) + self.buffer - 1
        wanted += sum(
            self._is_too_old(flight["round"], candidates.round) for flight in state["flights"].values()
        )
        everybody: list[int] = []
        for place in order:
            if wanted == 0:
                break
            everybody.append(asked.clients[place])
            wanted -= self.dropout.draw(candidates.seed, candidates.round, everybody[-1]) is None
        return Invited(everybody, self.useful(everybody, candidates), asked.figures)

    def arrive(
        self,
        invited: Invited,
        updates: Sequence[ClientUpdate],
        down_bytes: Mapping[int, int],
        candidates: Candidates,
        work: Workload,
        state: Tree,
    ) -> Arrived:
        """Let time pass until the buffer is full; see `System.arrive`."""
        fleet = self.fleet(candidates, work, state)
        by_client = {update.client: update for update in updates}
        ways = self.journeys(invited, by_client, down_bytes, candidates, fleet)
        asked = [Flight(client, way, candidates.round, by_client.get(client)) for client, way in ways.items()]
        before = [Flight.from_tree(int(client), tree) for client, tree in state["flights"].items()]
        sky = _Sky({flight.client: flight for flight in before}, deque(asked), fleet, self.concurrency)
        ended = self._ended(sky, candidates.round)
        closed = sky.now if ended or sky.begun else fleet.now + self.pause_s
        used = [flight for flight in ended if self._is_used(flight, candidates.round)]
        used.sort(key=lambda flight: (flight.round, flight.client))
        lines = {flight.client: self._line(flight, candidates.round, closed) for flight in ended}
        missing = {
            flight.client: lines[flight.client] | flight.way.moved(closed)
            for flight in ended
            if not self._is_used(flight, candidates.round)
        }
        return Arrived(
            updates=[self._weighted(flight, candidates.round, work.layout) for flight in used],
            state={"clock_s": closed, "flights": sky.to_tree()},
            figures={
                **invited.figures,
                **round_figures(fleet.now, closed, missing),
                "idle_share": 0.0,  # whoever is done is not waiting for anybody
                **sky.figures(),
                "staleness": sum(candidates.round - flight.round for flight in used) / max(1, len(used)),
            },
            clients={
                flight.client: lines[flight.client] | {"bytes_down": flight.way.bytes_down} for flight in used
            },
            missing=missing,
        )

    @property
    def too_late(self) -> str:
        """Of an update that has arrived it is its age."""
        return f"with updates that are too old (raise system.max_staleness, which is {self.max_staleness})"

    def _ended(self, sky: _Sky, round: int) -> list[Flight]:
        """Let clients begin and end until the buffer is full or nobody is left; return those that ended."""
        ended: list[Flight] = []
        full = 0
        sky.fill()
        while full < self.buffer and (flight := sky.next()) is not None:
            ended.append(flight)
            full += self._is_used(flight, round)
            if full < self.buffer:
                sky.fill()
        return ended

    def _is_used(self, flight: Flight, round: int) -> bool:
        return flight.way.arrives and not self._is_too_old(flight.round, round)

    def _is_too_old(self, begun: int, round: int) -> bool:
        return self.max_staleness is not None and round - begun > self.max_staleness

    def _line(self, flight: Flight, round: int, closed: float) -> dict[str, Any]:
        fate = "dropped" if not flight.way.arrives else "arrived" if self._is_used(flight, round) else "late"
        return {**flight.way.figures(fate, closed), "staleness": round - flight.round}

    def _weighted(self, flight: Flight, round: int, layout: Layout | None) -> ClientUpdate:
        """Return a flight's update as much as it counts."""
        update = flight.unpacked(layout)
        age = round - flight.round
        if age == 0 or self.exponent == 0:
            return update
        return replace(update, update=update.update * (1 + age) ** -self.exponent)


@dataclass(frozen=True)
class Flight:
    """A client at work.

    Attributes
    ----------
    client : int
        Its number.
    way : Journey
        When it began and when it ends.
    round : int
        The round (from 0) whose adapter it was sent.
    update : ClientUpdate, Tree or None
        What it will send, as it is or as it was kept; nothing of a client that will be lost.
    """

    client: int
    way: Journey
    round: int
    update: ClientUpdate | Tree | None

    def to_tree(self) -> Tree:
        """Return it as a tree; the wire form is not a part of it."""
        kept: Tree = {}
        if self.way.arrives and self.update is not None:
            bare = self.update
            if isinstance(bare, ClientUpdate):
                bare = replace(bare, wire={}).to_tree()
            kept = bare
        return {"way": self.way.to_tree(), "round": self.round, "update": kept}

    @classmethod
    def from_tree(cls, client: int, tree: Mapping[str, Any]) -> Self:
        """Undo `to_tree`, but for the update, which is unpacked when it is used."""
        return cls(client, Journey.from_tree(tree["way"]), tree["round"], tree["update"] or None)

    def unpacked(self, layout: Layout | None) -> ClientUpdate:
        """Return the update, an adapter of `layout`."""
        if isinstance(self.update, ClientUpdate):
            return self.update
        assert self.update is not None
        assert layout is not None
        return ClientUpdate.from_tree(self.update, layout)


@dataclass
class _Sky:
    """Who is at work and who may be asked next, as time goes on within one round."""

    flights: dict[int, Flight]
    queue: deque[Flight]
    fleet: Fleet
    concurrency: int
    begun: bool = False

    def __post_init__(self) -> None:
        self.now = self.fleet.now
        self.ends = [(flight.way.ends, client) for client, flight in self.flights.items()]
        heapq.heapify(self.ends)

    def fill(self) -> None:
        """Ask the next ones as long as places are free; who has gone away since is passed over."""
        while self.queue and len(self.flights) < self.concurrency:
            flight = self.queue.popleft()
            until = float(self.fleet.until([flight.client], self.now)[0])
            if until <= self.now:
                continue
            way = staying(replace(flight.way, begun=self.now), until)
            self.flights[flight.client] = replace(flight, way=way)
            self.begun = True
            heapq.heappush(self.ends, (way.ends, flight.client))

    def next(self) -> Flight | None:
        """Go on to the next end, and return who it is; None if nobody is at work."""
        if not self.ends:
            return None
        self.now, client = heapq.heappop(self.ends)
        return self.flights.pop(client)

    def figures(self) -> dict[str, float]:
        """Return what a round's line says of those that are still at work."""
        sent = sum(flight.way.bytes_down for flight in self.flights.values())
        return {"clients_at_work": len(self.flights), "bytes_down_at_work": sent}

    def to_tree(self) -> Tree:
        """Return those at work as a tree."""
        return {str(client): flight.to_tree() for client, flight in sorted(self.flights.items())}
