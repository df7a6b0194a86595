"""The round loop: FedIT's algorithm 1. It knows no algorithm by name, nor where its clients are.

participation -> coreset -> local training -> transforms -> aggregation -> evaluation -> commit
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from shepherd.aggregation import Aggregated
from shepherd.backend import Backend, RoundPart
from shepherd.client import ClientSide
from shepherd.config import RunConfig
from shepherd.coreset import Cohort
from shepherd.errors import ShepherdError
from shepherd.messages import ClientJob, ClientUpdate
from shepherd.metrics import Line, client_line, mean_of, missing_line, poll_line, round_line, selection_line
from shepherd.model.adapter import Adapter
from shepherd.observer import Observer, Selection
from shepherd.opening import Opening
from shepherd.participation import Candidates, Report
from shepherd.randomness import generator
from shepherd.simulation import Arrived, Invited, Workload
from shepherd.state import RunState
from shepherd.tree import Tree

log = logging.getLogger(__name__)


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
    evaluate: Any
    commit: Any
    observers: Sequence[Observer] = ()
    categories: Sequence[Mapping[str, int]] | None = None
    work: Workload = field(default_factory=Workload)

    @cached_property
    def side(self) -> ClientSide:
        """The strategies that work beside the data."""
        return ClientSide.of(self.config)

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
        for observer in self.observers:
            observer.started(state, self.config.rounds)
        while state.round < self.config.rounds:
            state = self.round(state)
        return state

    def round(self, state: RunState) -> RunState:
        """Do one communication round and commit it."""
        began = time.perf_counter()
        config, opening = self.config, self._open(state)
        invited = self._invited(opening)
        everybody = invited.training
        selection = self._select(everybody, opening)
        chosen = time.perf_counter()
        if selection.summaries:
            self._tell("chosen", selection)

        places = {self.names[client]: place for place, client in enumerate(selection.choices)}
        self._tell("cohort", opening.number, list(places))
        part, arrived = self._trained(self._jobs(selection, opening), invited, opening)
        whole = self.backend.whole(part)
        lines = sorted(whole.lines, key=lambda line: places.get(line["client"], -1))
        if not lines:
            self._say_nobody(arrived, opening.number, invited, len(places))
        found = self._aggregated(whole.accumulator if lines else None, state)
        adapter = state.adapter + found.step
        end = time.perf_counter()

        missing = self._missing(arrived, opening.number)
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
            fleet = self.config.system.fleet(known, self._asked_of(opening), state.system)
            opening = replace(opening, candidates=replace(known, devices=fleet))
        return opening

    def _invited(self, opening: Opening) -> Invited:
        """Return who begins the round: those that were chosen, and can."""
        state, candidates = opening.state, opening.candidates
        chosen = self.config.participation.select(candidates, state.participation)
        if self.config.system is None:
            return Invited(chosen, chosen)
        return self.config.system.invite(chosen, candidates, self._asked_of(opening), state.system)

    def _asked_of(self, opening: Opening) -> Workload:
        """Return what a device is asked, as the adapter is now."""
        return replace(
            self.work,
            layout=opening.state.adapter.layout,
            bytes_down=lambda client: opening.sent_bytes(client, self.side),
            bytes_up=lambda client: opening.answer_bytes(client, self.side),
        )

    def _select(self, everybody: Sequence[int], opening: Opening) -> Selection:
        """Have the coreset choose who trains on what."""
        coreset, number = self.config.coreset, opening.number
        names = [self.names[client] for client in everybody]
        summaries = {}
        if coreset.asks:
            self._tell("selecting", number, names)
            for summary in self.backend.summarise(
                opening.job(client, self.config.rounds) for client in everybody
            ):
                summaries[summary.client] = summary
                self._tell("summarised", self.names[summary.client])
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

    def _trained(
        self, jobs: Iterator[ClientJob], invited: Invited, opening: Opening
    ) -> tuple[RoundPart, Arrived | None]:
        """Have the jobs done, and add up what comes here of them."""
        config, state = self.config, opening.state
        shares = config.aggregation.shares(opening.candidates, state.aggregation)
        updates: Iterable[ClientUpdate] = self._healthy(self.backend.train(jobs), opening)
        kept, sketches, lines = {}, {}, []
        arrived, tokens = None, 0
        if config.system is not None:
            trained = list(updates)
            # Trained here and now, though some arrive in a later round or never.
            tokens = sum(update.tokens for update in trained)
            arrived = self._arrived(trained, invited, opening)
            updates = arrived.updates
        accumulator = config.aggregation.start(state.adapter)
        for update in updates:
            counted = replace(update, held=opening.scope(update.client, self.side).held)
            if shares is not None:
                counted = replace(counted, share=shares[update.client])
            accumulator = config.aggregation.accumulate(accumulator, counted)
            if arrived is None:
                tokens += update.tokens
            if update.state:
                kept[str(update.client)] = update.state
            sketch = config.participation.sketch(update.update, config.seed)
            if sketch is not None:
                sketches[str(update.client)] = sketch
            sent_bytes = opening.sent_bytes(update.client, self.side)
            line = client_line(
                opening.number, self.names[update.client], update, sent_bytes, config.training.figures
            )
            lines.append(line)
            if arrived is not None:
                lines[-1].update(arrived.clients.get(update.client, {}))
            self._tell("client", lines[-1])
        return RoundPart(accumulator, lines, kept, sketches, tokens), arrived

    def _arrived(self, updates: Sequence[ClientUpdate], invited: Invited, opening: Opening) -> Arrived:
        """Ask the simulated system what of a round's updates the server gets now."""
        assert self.config.system is not None
        sent = {client: opening.sent_bytes(client, self.side) for client in invited.everybody}
        state, work = opening.state.system, self._asked_of(opening)
        return self.config.system.arrive(invited, updates, sent, opening.candidates, work, state)

    def _missing(self, arrived: Arrived | None, number: int) -> list[Line]:
        """Return the lines of those that were asked and whose update is not used."""
        gone = arrived.missing.items() if arrived is not None else ()
        return [missing_line(number, self.names[client], client, figures) for client, figures in gone]

    def _say_nobody(self, arrived: Arrived | None, number: int, invited: Invited, asked: int) -> None:
        """Say why a round passes without an update: of those that were invited, so many were asked to train."""
        system, why = self.config.system, ""
        if system is not None and arrived is not None and (asked or not invited.training):
            why = system.why_nobody(arrived)
        if why:
            log.warning("No update arrived in round %d: %s.", number, why)
        elif not invited.everybody:
            log.warning("Nobody that could be chosen was there in round %d.", number)
        else:
            log.warning("Nobody was left with anything to train on in round %d.", number)

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
        """Return what the round's clients keep of their training and, where it is for longer, of the coreset."""
        kept: dict[str, dict[str, Tree]] = {client: {"training": own} for client, own in trained.items()}
        for client, summary in selection.summaries.items():
            if summary.lasting:
                before = state.clients.get(str(client), {})
                kept[str(client)] = {**before, **kept.get(str(client), {}), "coreset": summary.lasting}
        return kept

    def _healthy(self, updates: Iterable[ClientUpdate], opening: Opening) -> Iterator[ClientUpdate]:
        for update in updates:
            self._refuse_diverged(update, opening.number)
            yield update

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

    def _refuse_diverged(self, update: ClientUpdate, number: int) -> None:
        """One NaN would spread to everybody's adapter for good; stop while the last round is still whole."""
        if not math.isfinite(update.update.norm()):
            raise ShepherdError(
                f"Client '{self.names[update.client]}' diverged in round {number}: its update is not finite. "
                f"Lower training.lr or set training.clip_norm; what was committed up to round {number - 1} is kept."
            )

    def _at_server(self, step: Adapter, round: int) -> Adapter:
        """Apply the transforms' server side, last one first."""
        for number, transform in reversed(list(enumerate(self.config.transforms))):
            step = transform.server(step, generator(self.config.seed, "transform at server", number, round))
        return step

    def _commit(self, state: RunState, lines: list[Line]) -> RunState:
        committed: RunState = self.commit(state, lines)
        self._tell("committed", committed, lines)
        return committed

    def _tell(self, what: str, *news: Any) -> None:
        for observer in self.observers:
            getattr(observer, what)(*news)
