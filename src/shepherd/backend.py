"""Who trains the cohort. The round loop asks a backend and never learns where the clients are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from shepherd.client import run_clients
from shepherd.coreset import Coreset
from shepherd.data.population import Population
from shepherd.messages import ClientJob, ClientUpdate
from shepherd.model.adapted import AdaptedModel
from shepherd.training import Training
from shepherd.transforms import Transform


class Backend(Protocol):
    """In this process, in several, or over a network."""

    def summarise(self, clients: Sequence[int]) -> dict[int, Any]:
        """Return what each client says to the coreset's server side; nothing for those with nothing to say."""
        ...

    def train(self, jobs: Iterable[ClientJob]) -> Iterator[ClientUpdate]:
        """Have every job done and yield the updates in the order of the jobs."""
        ...


@dataclass(frozen=True)
class LocalBackend:
    """One client after another, or a few at once, on the model that is loaded here (FedIT, section 3.3)."""

    model: AdaptedModel
    population: Population
    coreset: Coreset
    training: Training
    transforms: Sequence[Transform]

    def summarise(self, clients: Sequence[int]) -> dict[int, Any]:
        """Ask every client's view for its summary."""
        summaries = {client: self.coreset.summarise(self.population.client(client)) for client in clients}
        return {client: summary for client, summary in summaries.items() if summary is not None}

    def train(self, jobs: Iterable[ClientJob]) -> Iterator[ClientUpdate]:
        """Train as many clients at once as the trainer wants; only so many updates exist at a time."""
        for group in _groups(jobs, self.training.together(self.model)):
            views = [self.population.client(job.client) for job in group]
            yield from run_clients(group, views, self.model, self.coreset, self.training, self.transforms)


def _groups(jobs: Iterable[ClientJob], size: int) -> Iterator[list[ClientJob]]:
    left = iter(jobs)
    while group := list(islice(left, size)):
        yield group
