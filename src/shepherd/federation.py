"""The round loop: FedIT's algorithm 1. It knows no algorithm by name, nor where its clients are.

participation -> coreset -> local training -> transforms -> aggregation -> evaluation -> commit
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from shepherd.aggregation import Aggregated
from shepherd.backend import Backend, RoundPart
from shepherd.client import ClientSide
from shepherd.config import RunConfig
from shepherd.coreset import Cohort
from shepherd.errors import ShepherdError
from shepherd.gathering import Gathering
from shepherd.messages import ClientJob
from shepherd.metrics import Line, mean_of, poll_line, round_line, selection_line
from shepherd.model.adapter import Adapter
from shepherd.observer import Observer, Observers, Selection
from shepherd.opening import Opening
from shepherd.participation import Candidates, Report
from shepherd.randomness import generator
from shepherd.simulation import Arrived, Invited, Workload
from shepherd.state import RunState
from shepherd.tree import Tree

Evaluate = Callable[[Adapter, int, Tree], Line | None]
Commit = Callable[[RunState, list[Line]], RunState]


@dataclass(frozen=True)
class Federation:
    """A federation that is ready to go round.

    Attributes
    ----------
    config : RunConfig
        The strategies, and how many rounds.
    backend : Backend
        Trains the cohort.
    names : sequence of str, [clients]
        The clients' names.
    sizes : sequence of int, [clients]
        How many examples each client holds.
    evaluate : callable
        Takes an adapter, how many rounds it has seen, and what is added to the base; returns its global line, or None
        if none is due.
    commit : callable
        Takes a state and the lines of its round, makes both durable, and returns the state as committed.
    observers : sequence of Observer
        Told what happens.
    categories : sequence of mapping of str to int, optional
        How many examples of each category every client has, where they say so.
    work : Workload
        What training asks of a device, for a simulated system.
    """

    config: RunConfig
    backend: Backend
    names: Sequence[str]
    sizes: Sequence[int]
    evaluate: Evaluate
    commit: Commit
    observers: Sequence[Observer] = ()
    categories: Sequence[Mapping[str, int]] | None = None
    work: Workload = field(default_factory=Workload)

    @cached_property
    def side(self) -> ClientSide:
        """The strategies that work beside the data."""
        return ClientSide.of(self.config)

    @cached_property
    def told(self) -> Observers:
        """Everybody who is told what happens."""
        return Observers(self.observers)

    @cached_property
    def gathering(self) -> Gathering:
        """What asks for a round's updates and adds them up."""
        return Gathering(self.config, self.backend, self.side, self.work, self.told)

    def begin(self, adapter: Adapter) -> RunState:
        """Evaluate the untrained adapter and commit round 0."""
        system = self.config.system.init() if self.config.system else {}
        aggregation = self.config.aggregation.init(adapter, len(self.sizes))
        state = RunState(0, adapter, aggregation=aggregation, system=system)
        # Clients that the aggregation has no share for are refused now, not after an evaluation.
        self.config.aggregation.shares(self._open(state).candidates, aggregation)
        line = self.evaluate(adapter, 0, self.config.aggregation.residual(aggregation))
        return self._commit(state, [line] if line else [])

    def run(self, state: RunState) -> RunState:
        """Go round until the config's rounds are done; every round ends committed."""
        self.told.started(state, self.config.rounds)
        while state.round < self.config.rounds:
            state = self.round(state)
        return state

    def round(self, state: RunState) -> RunState:
        """Do one communication round and commit it."""
        began = time.perf_counter()
        config, opening = self.config, self._open(state)
        invited = self.gathering.invited(opening)
        everybody = invited.training
        selection = self._select(everybody, opening)
        chosen = time.perf_counter()
        if selection.summaries:
            self.told.chosen(selection)

        places = {self.names[client]: place for place, client in enumerate(selection.choices)}
        self.told.cohort(opening.number, list(places))
        part, arrived = self.gathering.gather(self._jobs(selection, opening), invited, opening)
        whole = self.backend.whole(part)
        lines = sorted(whole.lines, key=lambda line: places.get(line["client"], -1))
        if not lines:
            self.gathering.say_nobody(arrived, invited, len(places), opening.number)
        found = self._aggregated(whole.accumulator if lines else None, state)
        adapter = state.adapter + found.step
        end = time.perf_counter()

        missing = self.gathering.missing(arrived, opening)
        asked = [*self._polls(opening, [*lines, *missing]), *selection.lines]
        # What a simulated system holds back trained for nothing, or will be counted when it arrives.
        counted = everybody if arrived is None else [line["number"] for line in lines]
        held = sum(int(self.sizes[client]) for client in counted)
        said = {name: mean_of(name, lines) for name in config.training.figures}
        figures = {**found.figures, **said, **(arrived.figures if arrived else {})}
        summary = round_line(
            opening.number,
            lines,
            [*asked, *missing],
            held,
            found.step.norm(),
            figures,
            end - began,
            chosen - began,
            whole.tokens,
            config.training.loss_over,
        )
        evaluated = self.evaluate(adapter, opening.number, config.aggregation.residual(found.state))
        advanced = state.advance(
            adapter=adapter,
            participation=self._observed(lines, whole, invited, arrived, opening),
            coreset=selection.state,
            aggregation=found.state,
            clients=state.clients.after(self._kept(selection, whole.kept, state)),
            system=arrived.state if arrived else state.system,
        )
        everything = [*asked, *lines, *missing, summary, *([evaluated] if evaluated else [])]
        return self._commit(advanced, everything)

    def _open(self, state: RunState) -> Opening:
        def losses(clients: Sequence[int], examples: int | None = None) -> Mapping[int, float]:
            """Ask clients how the global adapter does on what they have; on simulated devices, who is there."""
            devices = opening.candidates.devices
            there = [client for client in clients if devices is None or devices.available(client)]
            jobs = (opening.job(client, self.config.rounds) for client in there)
            found = dict(self.backend.measure(replace(job, poll_examples=examples) for job in jobs))
            for client, loss in found.items():
                self._refuse_no_loss(client, loss, opening.number)
            opening.polled.update(found)
            return found

        known = Candidates(
            state.round,
            self.config.seed,
            self.sizes,
            self.names,
            self.categories,
            losses,
            wanted=self.config.participation.cohort_size(len(self.sizes)),
        )
        opening = Opening(state, known, self.config.aggregation, self.config.capacity)
        if self.config.system is not None:
            fleet = self.config.system.fleet(known, self.gathering.work_of(opening), state.system)
            opening = replace(opening, candidates=replace(known, devices=fleet))
        return opening

    def _select(self, everybody: Sequence[int], opening: Opening) -> Selection:
        """Have the coreset choose who trains on what."""
        coreset, number = self.config.coreset, opening.number
        names = [self.names[client] for client in everybody]
        summaries = {}
        if coreset.asks:
            self.told.selecting(number, names)
            for summary in self.backend.summarise(
                opening.job(client, self.config.rounds) for client in everybody
            ):
                summaries[summary.client] = summary
                self.told.summarised(self.names[summary.client])
            # Over a network some may not answer; who did not is not chosen for.
            everybody = [client for client in everybody if client in summaries]
            names = [self.names[client] for client in everybody]
        sizes = [int(self.sizes[client]) for client in everybody]
        cohort = Cohort(opening.state.round, self.config.seed, everybody, names, sizes)
        messages = {client: summary.message for client, summary in summaries.items()}
        choices, remembered = coreset.choose(cohort, messages, opening.state.coreset)
        lines = [
            selection_line(
                number,
                self.names[client],
                int(self.sizes[client]),
                summary,
                # Who trains is sent the adapter once; its line says so.
                0 if client in choices else opening.sent_bytes(client, self.side),
                coreset.figures(summary.message, choices.get(client)),
            )
            for client, summary in summaries.items()
        ]
        return Selection(number, summaries, choices, remembered, lines)

    def _aggregated(self, accumulator: Any | None, state: RunState) -> Aggregated:
        """Return how far the adapter goes, and what the aggregation remembers; of nobody, the old."""
        if accumulator is None:
            return Aggregated(state.adapter * 0.0, state.aggregation)
        found = self.config.aggregation.finish(state.adapter, accumulator, state.aggregation)
        found = replace(found, step=self._at_server(found.step, state.round))
        if not math.isfinite(found.step.norm()):
            raise ShepherdError(
                f"The step of round {state.round + 1} is not finite; lower aggregation.lr or training.lr. What was "
                f"committed up to round {state.round} is kept."
            )
        return found

    def _observed(
        self,
        lines: Sequence[Line],
        whole: RoundPart,
        invited: Invited,
        arrived: Arrived | None,
        opening: Opening,
    ) -> Tree:
        """Return what the participation remembers after the round."""
        reports = [Report(line["number"], line, whole.sketches.get(str(line["number"]))) for line in lines]
        heard = {report.client for report in reports}
        asked = invited.everybody if arrived is None else arrived.missing
        silent = [client for client in asked if client not in heard]
        candidates = replace(opening.candidates, silent=silent)
        return self.config.participation.observe(candidates, reports, opening.state.participation)

    def _jobs(self, selection: Selection, opening: Opening) -> Iterator[ClientJob]:
        for client, choice in selection.choices.items():
            job = opening.job(client, self.config.rounds)
            if client in selection.summaries:
                job = replace(job, state={**job.state, "coreset": selection.summaries[client].kept})
            yield replace(job, choice=choice)

    def _kept(
        self, selection: Selection, trained: Mapping[str, Tree], state: RunState
    ) -> dict[str, dict[str, Tree]]:
        """Return what clients keep from now on: of their training, and what of the coreset is for longer.

        Whose update arrives from an earlier round was not asked for the coreset in this one, and keeps what it had.
        """
        training = {client: {"training": own} for client, own in trained.items()}
        lasting = {
            str(client): {"coreset": summary.lasting}
            for client, summary in selection.summaries.items()
            if summary.lasting
        }
        return {
            client: {
                **(state.clients.get(client, {}) if self.config.coreset.asks else {}),
                **training.get(client, {}),
                **lasting.get(client, {}),
            }
            for client in {**training, **lasting}
        }

    def _refuse_no_loss(self, client: int, loss: float, number: int) -> None:
        """Nobody can be chosen by what is no number."""
        if not math.isfinite(loss):
            raise ShepherdError(
                f"The loss of the adapter at client '{self.names[client]}' in round {number} is not finite. Lower "
                f"training.lr or set training.clip_norm; what was committed up to round {number - 1} is kept."
            )

    def _polls(self, opening: Opening, lines: Sequence[Line]) -> list[Line]:
        """Return the lines of those that were polled; who is sent the adapter once is counted once, by `lines`."""
        sent = {line["number"] for line in lines if line.get("bytes_down")}
        return [
            poll_line(
                opening.number,
                self.names[client],
                int(self.sizes[client]),
                loss,
                0 if client in sent else opening.sent_bytes(client, self.side),
            )
            for client, loss in opening.polled.items()
        ]

    def _at_server(self, step: Adapter, round: int) -> Adapter:
        """Apply the transforms' server side, last one first."""
        for number, transform in reversed(list(enumerate(self.config.transforms))):
            step = transform.server(step, generator(self.config.seed, "transform at server", number, round))
        return step

    def _commit(self, state: RunState, lines: list[Line]) -> RunState:
        committed = self.commit(state, lines)
        self.told.committed(committed, lines)
        return committed
