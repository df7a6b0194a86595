"""FedIT's baselines as runs of their own: the untuned base, one client alone, everything in one place.

Each is the federated config with a few values changed, on the same hold-out and the same budget: as many
examples as the federation trained on or, for a client alone, as many rounds if that is asked for. What never
averages keeps its optimiser from round to round, so that it is as strong as plain training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shepherd.aggregation import FedAvg
from shepherd.capacity import Uniform
from shepherd.config import RunConfig
from shepherd.coreset import Full, KMeans
from shepherd.data.allocation import Iid
from shepherd.errors import ShepherdError
from shepherd.files import folder_name
from shepherd.model.kinds import Lora
from shepherd.observer import Observer
from shepherd.participation import Only
from shepherd.preparation import Dealt, deal
from shepherd.randomness import generator
from shepherd.report.html import write_report
from shepherd.report.record import Record
from shepherd.report.specialists import note_specialists
from shepherd.run_directory import RunDirectory
from shepherd.run_files import is_finished
from shepherd.runs import Run, execute, load_run
from shepherd.torchrun import started_by_torchrun

Budget = Literal["examples", "rounds"]
CENTRALISED = "centralised"
CENTRALISED_CORESET = "centralised-coreset"
UNTUNED = "untuned"


def baseline_configs(
    config: RunConfig,
    federated: Record,
    dealt: Dealt,
    clients: Sequence[int],
    budget: Budget = "examples",
) -> Iterator[tuple[str, RunConfig]]:
    """Yield (label, config) of the untuned base, of each client alone, and of centralised tuning.

    Where a coreset chose, centralised tuning on a coreset of all data is one more, FedHDS's upper reference (arXiv
    2410.10926, section 5): as many different examples as the federation's steps saw, chosen by k-means.

    Parameters
    ----------
    config : RunConfig
        The federated config.
    federated : Record
        Its finished run: the baselines' budget is the examples it trained on.
    dealt : Dealt
        The instructions, and who holds which.
    clients : sequence of int
        Who trains alone, by number.
    budget : str
        What a client alone may spend: as many ``examples`` as the whole federation did (with few of its
        own it sees them again and again), or its own local training in as many ``rounds``.
    """
    yield UNTUNED, _untuned(config)
    each_round = federated.examples / max(1, config.rounds)
    for client in clients:
        label = alone_label(dealt, client)
        epochs = (
            each_round / dealt.allocated.sizes[client] if budget == "examples" else config.training.epochs
        )
        yield label, _pooled(config, label, client, epochs)
    allocation = Iid(clients=1)
    pooled = _pooled(config, CENTRALISED, 0, each_round / len(dealt.train))
    pooled = pooled.model_copy(update={"allocation": allocation})
    yield CENTRALISED, pooled
    if not isinstance(config.coreset, Full) and federated.selected:
        size = min(federated.selected, len(dealt.train))
        coreset = _pooled(config, CENTRALISED_CORESET, 0, each_round / size)
        chosen = {"allocation": allocation, "coreset": KMeans(count=size)}
        yield CENTRALISED_CORESET, coreset.model_copy(update=chosen)


def alone_label(dealt: Dealt, client: int) -> str:
    """Return the folder of a client's run alone."""
    return f"alone-{folder_name(dealt.allocated.names[client])}"


@dataclass(frozen=True)
class Alone:
    """Who trains alone: clients by name, clients by what they hold, or some drawn at random.

    Attributes
    ----------
    names : list of str
        Clients.
    holding : list of list of str
        For each a client that holds little else than these categories; see `Heterogeneity.specialist`.
    drawn : int
        How many to draw, where nobody is asked for otherwise.
    """

    names: Sequence[str] = ()
    holding: Sequence[Sequence[str]] = ()
    drawn: int = 3

    def choose(self, dealt: Dealt, seed: int) -> dict[str, int]:
        """Return the clients by number, under the name or the categories they were asked for by."""
        everybody = dealt.allocated.names
        if not self.names and not self.holding:
            return {everybody[i]: i for i in draw_clients(self.drawn, len(everybody), seed)}
        chosen = {name: dealt.allocated.number_of(name) for name in self.names}
        return chosen | (self._specialists(dealt) if self.holding else {})

    def _specialists(self, dealt: Dealt) -> dict[str, int]:
        spread, found = dealt.heterogeneity(), list[str]()
        for categories in self.holding:
            found.append(spread.specialist(categories, found))
        called = ("+".join(categories) for categories in self.holding)
        return {name: dealt.allocated.number_of(client) for name, client in zip(called, found, strict=True)}


def draw_clients(count: int, clients: int, seed: int) -> list[int]:
    """Draw who trains alone, where nobody is named."""
    draw = generator(seed, "alone").choice(clients, size=min(count, clients), replace=False)
    return sorted(int(client) for client in draw)


def _pooled(config: RunConfig, label: str, client: int, epochs: float) -> RunConfig:
    """Return the config in which one client trains in every round and nothing is averaged."""
    # The untuned base is a baseline of its own; its answers need not be generated once for each.
    evaluation = config.evaluation.model_copy(update={"rouge_untuned": False})
    return _derived(
        config,
        label,
        participation=Only(clients=[client]),
        coreset=Full(),
        training=config.training.alone(epochs),
        transforms=[],
        aggregation=FedAvg(),
        capacity=Uniform(),
        personalisation=None,
        system=None,
        evaluation=evaluation,
    )


def _untuned(config: RunConfig) -> RunConfig:
    """Return the config of which nothing is trained, with an adapter that leaves the base's answers as they are."""
    kind = config.adapter if config.adapter.starts_at_base else Lora()
    return _derived(config, UNTUNED, rounds=0, adapter=kind)


def _derived(config: RunConfig, label: str, **changes: Any) -> RunConfig:
    place = config.run.model_copy(
        update={
            "root": str(Path(config.run.directory) / "baselines"),
            "name": label,
            "store": str(config.run.encoded),
        }
    )
    return config.model_copy(update={"run": place, **changes})


def run_baselines(
    config: RunConfig,
    alone: Alone,
    budget: Budget,
    progress: Callable[[str], AbstractContextManager[Observer]],
) -> dict[str, str]:
    """Complete the federated run, then every baseline of it; what is finished is left as it is.

    Parameters
    ----------
    config : RunConfig
        The federated config.
    alone : Alone
        Who trains alone.
    budget : str
        What a client alone may spend; see `baseline_configs`.
    progress : callable
        Gives, for a label, the observer to show the run with.

    Returns
    -------
    dict of str to str
        The folder of every client's run alone, by what `alone` calls the client.
    """
    if started_by_torchrun()[1] > 1:
        raise ShepherdError("Baselines are one client each; run shepherd baselines without torchrun.")
    dealt = deal(config)
    chosen = alone.choose(dealt, config.seed)  # who cannot be found is missed now, and not after the training
    federated = _completed(config, config.run.name, progress).record
    clients = list(dict.fromkeys(chosen.values()))
    specialists = {alone_label(dealt, chosen[kinds]): kinds for kinds in map("+".join, alone.holding)}
    note_specialists(config.run.directory / "baselines", specialists)
    for label, derived in baseline_configs(config, federated, dealt, clients, budget):
        _completed(derived, label, progress)
    write_report(config.run.directory)
    return {called: alone_label(dealt, client) for called, client in chosen.items()}


def _completed(
    config: RunConfig, label: str, progress: Callable[[str], AbstractContextManager[Observer]]
) -> Run:
    if is_finished(config.run.directory):
        RunDirectory(config.run.directory).open(config, resume=True)
        return load_run(config.run.directory)
    with progress(label) as observer:
        return execute(config, resume=True, observers=[observer])
