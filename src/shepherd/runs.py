"""Running a config, and picking a run up again: what `import shepherd` offers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from shepherd.backend import LocalBackend, SharedBackend
from shepherd.client import ClientSide
from shepherd.config import RunConfig, load_config, parse_config
from shepherd.coreset.sketch import sketch
from shepherd.errors import ShepherdError
from shepherd.evaluation.evaluate import DueEvaluation
from shepherd.federation import Federation
from shepherd.model.adapted import AdaptedModel
from shepherd.model.adapter import Adapter
from shepherd.model.base import load_base
from shepherd.observer import Observer, Selection
from shepherd.preparation import Prepared, prepare
from shepherd.processes import Processes, joined
from shepherd.report.html import write_report
from shepherd.report.record import Record, read_record
from shepherd.run_directory import RunDirectory
from shepherd.simulation import Workload
from shepherd.state import RunState
from shepherd.surroundings import parameters, surroundings
from shepherd.torchrun import started_by_torchrun
from shepherd.trackers import start_trackers

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A run on disk.

    Attributes
    ----------
    directory : Path
        The run directory.
    config : RunConfig
        The resolved config.
    """

    directory: Path
    config: RunConfig

    @property
    def record(self) -> Record:
        """The metrics, environment, answers and baselines, read back from disk."""
        return read_record(self.directory)

    @cached_property
    def model(self) -> AdaptedModel:
        """The base model with the run's adapter in it, loaded on first use."""
        model = AdaptedModel(load_base(self.config.model), self.config.adapter, self.config.seed)
        model.load(self.directory / "adapter")
        return model

    def adapter(self) -> Adapter:
        """Return the tuned adapter; what the run added to the base is in `model.rests_on`."""
        return self.model.read()

    def generate(
        self, instructions: Sequence[str], context: str = "", max_new_tokens: int = 128
    ) -> list[str]:
        """Answer instructions greedily with the tuned adapter; see `shepherd.generate.answers`."""
        from shepherd.generate import answers

        return answers(self.model, self.config, [(text, context) for text in instructions], max_new_tokens)


def run(
    config: RunConfig | Mapping[str, Any] | str | Path,
    *,
    resume: bool = False,
    observers: Sequence[Observer] = (),
) -> Run:
    """Run a federation to its end, or go on with one that was stopped.

    Parameters
    ----------
    config : RunConfig, mapping, str or Path
        A config, its plain values, a preset's name, or a YAML file.
    resume : bool
        Go on from the last committed round, if the run directory holds one.
    observers : sequence of Observer
        Told what happens as it happens.

    Returns
    -------
    Run
        The finished run.

    Raises
    ------
    ShepherdError
        For anything that cannot be used; what was committed before is kept.
    """
    finished = execute(as_config(config), resume=resume, observers=observers)
    if started_by_torchrun()[0] == 0:
        write_report(finished.directory)
    return finished


def execute(config: RunConfig, *, resume: bool = False, observers: Sequence[Observer] = ()) -> Run:
    """Do what `run` does, but for the report. Under torchrun the processes share every cohort."""
    if started_by_torchrun()[1] > 1 and not config.training.shares_cohorts:
        raise ShepherdError(
            f"training.name={config.training.name} trains in one process; use training.name=engine under "
            "torchrun, or run without it."
        )
    with joined() as processes:
        directory = RunDirectory(config.run.directory)
        if not processes.main:
            return _take_part(config, directory, processes)
        directory.open(config, resume)
        with directory.held():
            return _execute(config, directory, processes, observers)


def _execute(
    config: RunConfig, directory: RunDirectory, processes: Processes, observers: Sequence[Observer]
) -> Run:
    prepared = prepare(config)
    directory.write_config(config)
    state = directory.restore(prepared.model.initial)
    own = [_SelectionSketcher(directory, prepared.population.names)] if config.coreset.asks else []
    with start_trackers(config) as trackers:
        federation = _federation(config, prepared, directory, processes, [*own, *trackers, *observers])
        if state is None:
            _warn_untested(config)
            if config.system is not None:
                most = config.participation.most_chosen(len(prepared.population.names))
                config.system.warn_of_cohort(most)
            directory.write("environment.json", _environment(config, prepared))
            directory.write("allocation.json", prepared.dealt.heterogeneity().to_dict())
            state = federation.begin(prepared.model.initial)
        else:
            directory.check_unchanged(_environment(config, prepared))
        processes.wait()
        state = federation.run(state)
    residual = config.aggregation.residual(state.aggregation)
    model = prepared.model
    directory.write_adapter(state.adapter, model.peft_config(), residual, model.exported(state.adapter))
    processes.wait()
    return Run(directory.path, config)


def _warn_untested(config: RunConfig) -> None:
    """Say before hours of training what can no longer be had after them."""
    if config.gives_own and config.data.own_test == 0:
        log.warning(
            "Clients come to adapters of their own, and keep no examples to test them on; with data.own_test=0.2 each "
            "would keep a fifth."
        )


class _SelectionSketcher(Observer):
    """Leaves in the run directory what a picture of the last round's selection needs.

    It writes before the round is committed, as answers are: a round that is repeated writes the same again.
    """

    def __init__(self, directory: RunDirectory, names: Sequence[str]) -> None:
        self.directory = directory
        self.names = names

    def chosen(self, selection: Selection) -> None:
        """Write the sketch, of a coreset that makes groups."""
        found = sketch(selection.round, self.names, selection.summaries, selection.choices)
        if found is not None:
            self.directory.write_selection(found)


def _take_part(config: RunConfig, directory: RunDirectory, processes: Processes) -> Run:
    """Train shares of the cohorts from the round that the main process has committed; write nothing."""
    processes.wait()
    prepared = prepare(config)
    state = directory.committed(prepared.model.initial)
    _federation(config, prepared, directory, processes, ()).run(state)
    processes.wait()
    return Run(directory.path, config)


def load_run(path: str | Path) -> Run:
    """Pick up a run directory.

    Raises
    ------
    ShepherdError
        If there is no run there.
    """
    path = Path(path)
    if not (path / "config.yaml").is_file():
        raise ShepherdError(f"{path} is no run directory: it has no config.yaml; give runs/<name>.")
    return Run(path, load_config(str(path / "config.yaml")))


def as_config(config: RunConfig | Mapping[str, Any] | str | Path) -> RunConfig:
    """Return the config that is meant.

    Raises
    ------
    ShepherdError
        If it is none of these, there is no such preset or file, or naming the first mistake in it.
    """
    if isinstance(config, RunConfig):
        return config
    if not isinstance(config, Mapping | str | Path):
        raise ShepherdError(
            f"{config!r:.60} is no config; give a RunConfig, a mapping such as {{'rounds': 3}}, the name of a preset, "
            "or the path of a YAML file."
        )
    return parse_config(config) if isinstance(config, Mapping) else load_config(str(config))


def _federation(
    config: RunConfig,
    prepared: Prepared,
    directory: RunDirectory,
    processes: Processes,
    observers: Sequence[Observer],
) -> Federation:
    def commit(state: RunState, lines: Sequence[dict[str, Any]]) -> RunState:
        """Commit in the main process; the others take it as done."""
        if not processes.main:
            return directory.committed_elsewhere(state)
        return directory.commit(state, lines, config.run.keep_checkpoints)

    due = DueEvaluation(prepared.evaluator, prepared.model, config.rounds, directory.write_answers)
    local = LocalBackend(prepared.model, prepared.population, ClientSide.of(config))
    # Who arrives in time can only be told where every update is.
    shared = SharedBackend(local, processes, config.aggregation.adds_up and config.system is None)
    return Federation(
        config=config,
        backend=local if processes.count == 1 else shared,
        names=prepared.population.names,
        sizes=prepared.population.sizes,
        work=_work(config, prepared),
        evaluate=due if processes.main else lambda adapter, round, residual: None,
        commit=commit,
        observers=observers,
        categories=prepared.dealt.category_counts() if config.asks_categories else None,
    )


def _work(config: RunConfig, prepared: Prepared) -> Workload:
    """Return what training asks of a simulated device."""
    beside = config.personalisation.beside(config.training) if config.personalisation else None
    counts = parameters(config, prepared.model)
    asks_loss = config.aggregation.asks_loss
    return Workload.of(prepared.model, prepared.examples, config.training, beside, counts, asks_loss)


def _environment(config: RunConfig, prepared: Prepared) -> dict[str, Any]:
    """Say what the run rests on, and what training chose by itself."""
    dealt, own_tests = prepared.dealt, prepared.dealt.own_test_rows
    data = {
        "source": dealt.train.source,
        "training_fingerprint": dealt.train.fingerprint(),
        "holdout_fingerprint": dealt.test.fingerprint(),
        "encoded_fingerprint": prepared.examples.fingerprint,
        "training_rows": len(dealt.train) - own_tests,
        **({"own_test_rows": own_tests} if own_tests else {}),
        "holdout_rows": len(dealt.test),
        "truncated_rows": prepared.examples.truncated,
    }
    found = {"training": config.training.chosen(prepared.model), "capacity": config.capacity.facts()}
    if config.system is not None:
        names = prepared.population.names
        found["system"] = config.system.facts(names, config.seed, _work(config, prepared))
    return surroundings(config, prepared.model, data) | found
