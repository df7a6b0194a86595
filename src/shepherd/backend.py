"""Who trains the cohort. The round loop asks a backend and never learns where the clients are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shepherd.client import run_client
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
    """One client after another on the one model that is loaded in this process (FedIT, section 3.3)."""

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
        """Train the clients one by one; only one update exists at a time."""
        for job in jobs:
            view = self.population.client(job.client)
            yield run_client(job, view, self.model, self.coreset, self.training, self.transforms)
