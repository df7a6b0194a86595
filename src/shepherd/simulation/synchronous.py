"""Rounds that wait: for everybody, for some, or until a deadline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Self

from pydantic import Field, model_validator

from shepherd.messages import ClientUpdate
from shepherd.participation.base import Candidates
from shepherd.simulation.base import Arrived, Invited
from shepherd.simulation.figures import round_figures
from shepherd.simulation.journey import Journey
from shepherd.simulation.simulated import Simulated, staying
from shepherd.simulation.workload import Workload
from shepherd.tree import Tree


class Synchronous(Simulated):
    """The server asks, waits, and aggregates what has come: FedAvg's round with stragglers and losses.

    A round is closed when enough updates are there, when nobody is left who could send one, or at the deadline,
    whichever comes first; the server sees at once that a client is lost. Whoever is still at it is told to stop, and
    may be asked again in the next round: its update is late and not used. To ask more clients than are waited for
    (over-selection) is how Bonawitz et al. (arXiv 1902.01046, section 9) keep stragglers from holding a round up: they
    ask 130 %.

    What stateful clients keep, a client keeps if its update arrived: else it goes back to what it kept before, as a
    site of a federation does, since what it has and what the server has heard of it belong together (a control variate
    and its change, a residual of compression and what was sent).

    Attributes
    ----------
    deadline_s : float, optional
        The longest a round may take, in seconds; without one it waits.
    wait_for : float, optional
        The share of those asked whose updates are waited for, in (0, 1]. Without it as many are waited for as the
        participation wants, where it chooses more than that (``over_selection``), and all otherwise.
    wait_for_count : int, optional
        Their number, instead.
    """

    name: str = "synchronous"
    deadline_s: float | None = Field(None, gt=0)
    wait_for: float | None = Field(None, gt=0, le=1)
    wait_for_count: int | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.wait_for_count is not None and self.wait_for is not None:
            raise ValueError("give wait_for or wait_for_count, not both")
        return self

    def invite(self, chosen: Sequence[int], candidates: Candidates, work: Workload, state: Tree) -> Invited:
        """Ask those that are there and able; see `System.invite`."""
        asked = self.asked(chosen, self.fleet(candidates, work, state))
        return Invited(asked.clients, self.useful(asked.clients, candidates), asked.figures)

    def arrive(
        self,
        invited: Invited,
        updates: Sequence[ClientUpdate],
        down_bytes: Mapping[int, int],
        candidates: Candidates,
        work: Workload,
        state: Tree,
    ) -> Arrived:
        """Close the round, and let through what has arrived by then; see `System.arrive`."""
        fleet = self.fleet(candidates, work, state)
        by_client = {update.client: update for update in updates}
        ways = self.journeys(invited, by_client, down_bytes, candidates, fleet)
        clients = list(ways)
        ends = fleet.until(clients, fleet.now)
        ways = {client: staying(ways[client], end) for client, end in zip(clients, ends, strict=True)}
        closed = self._closed(list(ways.values()), fleet.now, candidates.wanted)
        there = {client for client, way in ways.items() if way.arrives and way.ends <= closed}
        found = {client: way.figures(_fate(way, closed), closed) for client, way in ways.items()}
        missing = {
            client: found[client] | ways[client].moved(closed) for client in clients if client not in there
        }
        waited = sum(closed - ways[client].ends for client in there)
        span = (closed - fleet.now) * len(clients)
        return Arrived(
            updates=[update for update in updates if update.client in there],
            state={"clock_s": closed},
            figures={
                **invited.figures,
                **round_figures(fleet.now, closed, missing),
                "idle_share": waited / span if span else 0.0,
            },
            clients={client: found[client] for client in clients if client in there},
            missing=missing,
        )

    @property
    def too_late(self) -> str:
        """Of a round that is closed with nobody there it was the deadline."""
        return f"not there by the deadline (raise system.deadline_s, which is {self.deadline_s})"

    def _closed(self, ways: Sequence[Journey], now: float, wanted: int | None) -> float:
        """Return when the round that began `now` is closed, if so many updates are wanted."""
        if not ways:
            return now + self.pause_s
        arrivals = sorted(way.ends for way in ways if way.arrives)
        wanted = self._waited_for(len(ways), wanted)
        closed = arrivals[wanted - 1] if wanted <= len(arrivals) else max(way.ends for way in ways)
        return closed if self.deadline_s is None else min(closed, now + self.deadline_s)

    def _waited_for(self, asked: int, wanted: int | None) -> int:
        """Return how many updates close a round, of so many clients."""
        if self.wait_for_count is not None:
            return self.wait_for_count
        if self.wait_for is not None:
            return max(1, math.ceil(self.wait_for * asked - 1e-9))
        return asked if wanted is None else max(1, min(asked, wanted))


def _fate(way: Journey, closed: float) -> str:
    if way.ends > closed:
        return "late"
    return "arrived" if way.arrives else "dropped"
