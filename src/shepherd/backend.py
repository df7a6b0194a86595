"""Who trains the cohort. The round loop asks a backend and never learns where the clients are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Protocol

import torch

from shepherd.client import ClientSide, measure_client, run_clients, summarise_client
from shepherd.data.population import Population
from shepherd.messages import ClientJob, ClientSummary, ClientUpdate
from shepherd.model.adapted import AdaptedModel
from shepherd.processes import Processes
from shepherd.tree import Tree


class Backend(Protocol):
    """In this process, in several, or over a network."""

    def summarise(self, jobs: Iterable[ClientJob]) -> Iterator[ClientSummary]:
        """Have every client say what the server needs to choose, and yield it in the order of the jobs."""
        ...

    def measure(self, jobs: Iterable[ClientJob]) -> Iterator[tuple[int, float]]:
        """Ask clients for the global adapter's mean loss on their own examples, in nats per response token."""
        ...

    def train(self, jobs: Iterable[ClientJob]) -> Iterator[ClientUpdate]:
        """Have every job done and yield the updates in the order of the jobs, those that come here."""
        ...

    def whole(self, part: RoundPart) -> RoundPart:
        """Return the whole round, where `part` is what came here of it."""
        ...


@dataclass(frozen=True)
class RoundPart:
    """What came of a round, or of a part of it.

    Attributes
    ----------
    accumulator : object
        The aggregation's.
    lines : list of dict
        The clients' lines of metrics, in any order.
    kept : mapping of str to Tree
        What stateful clients keep, by number.
    sketches : mapping of str to Tensor
        What the participation remembers of updates, by number.
    tokens : int
        Tokens that were trained on, whether the updates are used in this round, later, or never.
    """

    accumulator: Any
    lines: list[dict[str, Any]]
    kept: Mapping[str, Tree]
    sketches: Mapping[str, torch.Tensor] = field(default_factory=dict)
    tokens: int = 0


@dataclass(frozen=True)
class LocalBackend:
    """One client after another, or a few at once, on the model that is loaded here (FedIT, section 3.3)."""

    model: AdaptedModel
    population: Population
    side: ClientSide

    def summarise(self, jobs: Iterable[ClientJob]) -> Iterator[ClientSummary]:
        """Ask one client after another."""
        for job in jobs:
            self.model.rest_on(job.residual)
            yield summarise_client(job, self.population.client(job.client), self.model, self.side)

    def measure(self, jobs: Iterable[ClientJob]) -> Iterator[tuple[int, float]]:
        """Ask one client after another."""
        for job in jobs:
            self.model.rest_on(job.residual)
            yield job.client, measure_client(job, self.population.client(job.client), self.model, self.side)

    def train(self, jobs: Iterable[ClientJob]) -> Iterator[ClientUpdate]:
        """Train as many clients at once as the trainer wants; the next ones begin when these are taken."""
        for group in _groups(jobs, self.side.training.together(self.model)):
            views = [self.population.client(job.client) for job in group]
            self.model.rest_on(group[0].residual)
            yield from run_clients(group, views, self.model, self.side)

    def whole(self, part: RoundPart) -> RoundPart:
        """Everything came here."""
        return part


@dataclass(frozen=True)
class SharedBackend:
    """Every process trains its share of the cohort on the model that is loaded in it.

    Of a rule that adds up only the sums are exchanged; any other sees every update in every process.
    """

    local: LocalBackend
    processes: Processes
    additive: bool

    def summarise(self, jobs: Iterable[ClientJob]) -> Iterator[ClientSummary]:
        """Ask this process's share; everybody gets to know everything, since any process may train any client."""
        jobs = list(jobs)
        own = self.local.summarise(jobs[place] for place in self._share(jobs))
        found = self._gathered({str(summary.client): summary.to_tree() for summary in own})
        for job in jobs:
            yield ClientSummary(**found[str(job.client)])

    def measure(self, jobs: Iterable[ClientJob]) -> Iterator[tuple[int, float]]:
        """Ask this process's share, and tell everybody."""
        jobs = list(jobs)
        own = self.local.measure(jobs[place] for place in self._share(jobs))
        found = self._gathered({str(client): loss for client, loss in own})
        for job in jobs:
            yield job.client, found[str(job.client)]

    def train(self, jobs: Iterable[ClientJob]) -> Iterator[ClientUpdate]:
        """Train this process's share; yield it, or everybody's where the rule needs every update."""
        jobs = list(jobs)
        own = self.local.train(jobs[place] for place in self._share(jobs))
        if self.additive:
            yield from own
            return
        # What a compression wrote is decoded already, and only its length still counts.
        found = self._gathered({str(update.client): replace(update, wire={}).to_tree() for update in own})
        for job in jobs:
            yield ClientUpdate.from_tree(found[str(job.client)], job.adapter.layout)

    def whole(self, part: RoundPart) -> RoundPart:
        """Put the processes' parts together."""
        if not self.additive:
            return part
        own = {"lines": part.lines, "kept": part.kept, "sketches": part.sketches, "tokens": part.tokens}
        gathered = self.processes.gather(own)
        lines = [line for other in gathered for line in other["lines"]]
        kept = {client: tree for other in gathered for client, tree in other["kept"].items()}
        sketches = {client: sketch for other in gathered for client, sketch in other["sketches"].items()}
        tokens = sum(other["tokens"] for other in gathered)
        return RoundPart(self.processes.add_up(part.accumulator), lines, kept, sketches, tokens)

    def _share(self, jobs: Sequence[ClientJob]) -> list[int]:
        return self.processes.share([float(self.local.population.sizes[job.client]) for job in jobs])

    def _gathered(self, own: Tree) -> dict[str, Any]:
        """Return what all processes have to say of clients, by number."""
        return {client: tree for part in self.processes.gather(own) for client, tree in part.items()}


def _groups(jobs: Iterable[ClientJob], size: int) -> Iterator[list[ClientJob]]:
    left = iter(jobs)
    while group := list(islice(left, size)):
        yield group
