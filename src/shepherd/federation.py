"""The round loop: FedIT's algorithm 1. It knows no algorithm by name, nor where its clients are.

participation -> coreset -> local training -> transforms -> aggregation -> evaluation -> commit
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shepherd.backend import Backend, RoundPart
from shepherd.config import RunConfig
from shepherd.errors import ShepherdError
from shepherd.machine import peak_memory_bytes
from shepherd.messages import ClientJob, ClientUpdate
from shepherd.model.adapter import Adapter
from shepherd.randomness import generator
from shepherd.state import RunState
from shepherd.tree import Tree

Line = dict[str, Any]


class Observer(Protocol):
    """Is told what happens, as it happens; nothing it does can change a result."""

    def started(self, state: RunState, rounds: int) -> None:
        """Hear that the loop begins, or goes on, at `state`."""

    def cohort(self, round: int, clients: Sequence[str]) -> None:
        """Hear who takes part in `round` (from 1)."""

    def client(self, line: Line) -> None:
        """Hear a client's line of metrics."""

    def committed(self, state: RunState, lines: Sequence[Line]) -> None:
        """Hear that a round is on disk, with all of its lines."""


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
        Takes an adapter and how many rounds it has seen; returns its global line, or None if none is due.
    commit : callable
        Takes a state and the lines of its round, makes both durable, and returns the state as committed.
    observers : sequence of Observer
        Told what happens.
    """

    config: RunConfig
    backend: Backend
    names: Sequence[str]
    sizes: Sequence[int]
    evaluate: Any
    commit: Any
    observers: Sequence[Observer] = ()

    def begin(self, adapter: Adapter) -> RunState:
        """Evaluate the untrained adapter and commit round 0."""
        state = RunState(0, adapter, aggregation=self.config.aggregation.init(adapter))
        line = self.evaluate(adapter, 0)
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
        config, number = self.config, state.round + 1
        cohort = config.participation.select(state.round, self.sizes, state.participation, config.seed)
        places = {self.names[client]: place for place, client in enumerate(cohort)}
        self._tell("cohort", number, list(places))
        choices = config.coreset.choose(self.backend.summarise(cohort), state.coreset)

        whole = self.backend.whole(self._trained(self._jobs(cohort, choices, state), state))
        lines = sorted(whole.lines, key=lambda line: places[line["client"]])
        step, aggregation = config.aggregation.finish(state.adapter, whole.accumulator, state.aggregation)
        adapter = state.adapter + self._at_server(step, state.round)
        seconds = time.perf_counter() - began

        summary = _round_line(lines, number, step.norm(), seconds)
        evaluated = self.evaluate(adapter, number)
        advanced = state.advance(
            adapter=adapter,
            participation=config.participation.observe(lines, state.participation),
            aggregation=aggregation,
            clients=state.clients.after(whole.kept),
        )
        return self._commit(advanced, [*lines, summary, *([evaluated] if evaluated else [])])

    def _trained(self, jobs: Iterator[ClientJob], state: RunState) -> RoundPart:
        """Have the jobs done, and add up what comes here of them."""
        accumulator = self.config.aggregation.start(state.adapter)
        kept, lines, sent = {}, [], state.adapter.wire_bytes
        for update in self.backend.train(jobs):
            self._refuse_diverged(update, state.round + 1)
            accumulator = self.config.aggregation.accumulate(accumulator, update)
            if update.state:
                kept[str(update.client)] = update.state
            lines.append(self._client_line(update, state.round + 1, sent))
            self._tell("client", lines[-1])
        return RoundPart(accumulator, lines, kept)

    def _jobs(
        self, cohort: Sequence[int], choices: Mapping[int, Any], state: RunState
    ) -> Iterator[ClientJob]:
        for client in cohort:
            kept: Tree = state.clients.get(str(client), {})
            yield ClientJob(
                client,
                state.round,
                self.config.rounds,
                self.config.seed,
                state.adapter,
                choices.get(client),
                kept,
            )

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

    def _client_line(self, update: ClientUpdate, number: int, sent: int) -> Line:
        return {
            "round": number,
            "scope": "client",
            "client": self.names[update.client],
            "examples": update.examples,
            "tokens": update.tokens,
            "response_tokens": update.response_tokens,
            "steps": update.steps,
            "train_loss": update.train_loss,
            "update_norm": update.update_norm,
            "bytes_up": update.update.wire_bytes,
            "bytes_down": sent,
            "machine": {"seconds": update.seconds},
        }

    def _commit(self, state: RunState, lines: list[Line]) -> RunState:
        committed: RunState = self.commit(state, lines)
        self._tell("committed", committed, lines)
        return committed

    def _tell(self, what: str, *news: Any) -> None:
        for observer in self.observers:
            getattr(observer, what)(*news)


def _round_line(clients: Sequence[Line], number: int, norm: float, seconds: float) -> Line:
    """Sum a round's client lines up."""
    totals = {
        key: sum(line[key] for line in clients)
        for key in ("examples", "tokens", "response_tokens", "steps", "bytes_up", "bytes_down")
    }
    weighted = sum(line["train_loss"] * line["response_tokens"] for line in clients)
    return {
        "round": number,
        "scope": "round",
        "clients": len(clients),
        **totals,
        "train_loss": weighted / max(1, totals["response_tokens"]),
        "update_norm": norm,
        "machine": {
            "seconds": seconds,
            "tokens_per_second": totals["tokens"] / seconds,
            "peak_memory_bytes": peak_memory_bytes(),
        },
    }
