"""How a round's updates come in: asked for, held back or let through by a simulated system, added up."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from shepherd.backend import Backend, RoundPart
from shepherd.client import ClientSide
from shepherd.config import RunConfig
from shepherd.errors import ShepherdError
from shepherd.messages import ClientJob, ClientUpdate
from shepherd.metrics import Line, client_line, missing_line
from shepherd.observer import Observer
from shepherd.opening import Opening
from shepherd.simulation import Arrived, Invited, Workload

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gathering:
    """What stands between the cohort that was chosen and the sum that is aggregated.

    Attributes
    ----------
    config : RunConfig
        The strategies.
    backend : Backend
        Trains the cohort.
    side : ClientSide
        The strategies that work beside the data.
    work : Workload
        What training asks of a device, for a simulated system.
    observer : Observer
        Told of every client's line.
    """

    config: RunConfig
    backend: Backend
    side: ClientSide
    work: Workload
    observer: Observer

    def work_of(self, opening: Opening) -> Workload:
        """Return what a device is asked in a round, as the adapter is then."""
        return replace(
            self.work,
            layout=opening.state.adapter.layout,
            bytes_down=lambda client: opening.sent_bytes(client, self.side),
            bytes_up=lambda client: opening.answer_bytes(client, self.side),
        )

    def invited(self, opening: Opening) -> Invited:
        """Return who begins the round: those that were chosen, and can."""
        state, candidates = opening.state, opening.candidates
        chosen = self.config.participation.select(candidates, state.participation)
        if self.config.system is None:
            return Invited(chosen, chosen)
        return self.config.system.invite(chosen, candidates, self.work_of(opening), state.system)

    def gather(
        self, jobs: Iterator[ClientJob], invited: Invited, opening: Opening
    ) -> tuple[RoundPart, Arrived | None]:
        """Have the jobs done, and add up what comes here of them; with a system, say what came of everybody.

        Raises
        ------
        ShepherdError
            If an update is not finite: one NaN would spread to everybody's adapter for good.
        """
        updates: Iterable[ClientUpdate] = self._healthy(self.backend.train(jobs), opening)
        if self.config.system is None:
            return self._added(updates, opening, None), None
        trained = list(updates)
        arrived = self._arrived(trained, invited, opening)
        # Trained here and now, though some arrive in a later round or never.
        tokens = sum(update.tokens for update in trained)
        return replace(self._added(arrived.updates, opening, arrived), tokens=tokens), arrived

    def missing(self, arrived: Arrived | None, opening: Opening) -> list[Line]:
        """Return the lines of those that were asked and whose update is not used."""
        names = opening.candidates.names
        gone = arrived.missing.items() if arrived is not None else ()
        return [missing_line(opening.number, names[client], client, figures) for client, figures in gone]

    def say_nobody(self, arrived: Arrived | None, invited: Invited, asked: int, number: int) -> None:
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

    def _healthy(self, updates: Iterable[ClientUpdate], opening: Opening) -> Iterator[ClientUpdate]:
        for update in updates:
            if not math.isfinite(update.update.norm()):
                raise ShepherdError(
                    f"Client '{opening.candidates.names[update.client]}' diverged in round {opening.number}: its "
                    "update is not finite. Lower training.lr or set training.clip_norm; what was committed up to round "
                    f"{opening.state.round} is kept."
                )
            yield update

    def _arrived(self, updates: Sequence[ClientUpdate], invited: Invited, opening: Opening) -> Arrived:
        """Ask the simulated system what of a round's updates the server gets now."""
        assert self.config.system is not None
        sent = {client: opening.sent_bytes(client, self.side) for client in invited.everybody}
        state, work = opening.state.system, self.work_of(opening)
        return self.config.system.arrive(invited, updates, sent, opening.candidates, work, state)

    def _added(self, updates: Iterable[ClientUpdate], opening: Opening, arrived: Arrived | None) -> RoundPart:
        """Add up updates as they come, each of them gone before the next."""
        config, state = self.config, opening.state
        shares = config.aggregation.shares(opening.candidates, state.aggregation)
        accumulator, tokens = config.aggregation.start(state.adapter), 0
        kept, sketches, lines = {}, {}, []
        for update in updates:
            counted = replace(update, held=opening.scope(update.client, self.side).held)
            if shares is not None:
                counted = replace(counted, share=shares[update.client])
            accumulator = config.aggregation.accumulate(accumulator, counted)
            tokens += update.tokens
            if update.state:
                kept[str(update.client)] = update.state
            sketch = config.participation.sketch(update.update, config.seed)
            if sketch is not None:
                sketches[str(update.client)] = sketch
            lines.append(self._line(update, opening, arrived))
            self.observer.client(lines[-1])
        return RoundPart(accumulator, lines, kept, sketches, tokens)

    def _line(self, update: ClientUpdate, opening: Opening, arrived: Arrived | None) -> Line:
        """Return a client's line; on simulated devices with what they took."""
        name, sent = opening.candidates.names[update.client], opening.sent_bytes(update.client, self.side)
        line = client_line(opening.number, name, update, sent, self.config.training.figures)
        return line if arrived is None else {**line, **arrived.clients.get(update.client, {})}
