"""The backend whose clients are sites: one client a site, asked over a link.

What a stateful client keeps stays at its site. Here it has a name only, so that the round loop commits, with the
round, which of a site's files belong to it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from shepherd.backend import RoundPart
from shepherd.client import ClientSide
from shepherd.deploy.exchange import Link, Lost, Patience, gather
from shepherd.deploy.fitting import check_fits
from shepherd.deploy.messages import Introduction, Measured, Summary, Told, Trained
from shepherd.deploy.plausible import Plausible
from shepherd.deploy.refusal import Refused
from shepherd.deploy.wire import UNREADABLE, Envelope, declared
from shepherd.errors import ShepherdError
from shepherd.messages import ClientJob, ClientSummary, ClientUpdate
from shepherd.model.adapter import Adapter, check_like
from shepherd.model.part import Part
from shepherd.scope import Scope
from shepherd.transforms import Compression
from shepherd.tree import Tree, from_bytes

log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer", ClientSummary, ClientUpdate, tuple[int, float])
_MESSAGE_ALLOWANCE = 1 << 16  # bytes of a message that are no values
_NAME = "at_site"  # under which the run's state remembers a site's file


@dataclass(frozen=True)
class FlowerBackend:
    """Asks sites to summarise and to train.

    Attributes
    ----------
    link : Link
        Carries the messages.
    sites : sequence of str, [clients]
        The sites' names, by client number.
    run : str
        The run's id.
    config : Tree
        What sites are told of the config.
    side : ClientSide
        The run's strategies that work at the sites.
    patience : Patience
        How long to wait for them.
    minimum_updates : int
        Fewest sites whose updates make a round.
    lost : callable
        Told the site and the reason when one is not part of a round.
    refused : mapping of str to str
        Sites that are not asked, and why.
    plausible : Plausible, optional
        What answers are held against.
    members : mapping of str to Introduction
        What the sites said of themselves when they joined.
    """

    link: Link
    sites: Sequence[str]
    run: str
    config: Tree
    side: ClientSide
    patience: Patience
    minimum_updates: int = 1
    lost: Callable[[int, str, str], None] = lambda round, site, reason: None
    refused: Mapping[str, str] = field(default_factory=dict)
    plausible: Plausible | None = None
    members: Mapping[str, Introduction] = field(default_factory=dict)

    def summarise(self, jobs: Iterable[ClientJob]) -> Iterator[ClientSummary]:
        """Ask every site; those that answer are yielded in the order of the jobs.

        Who does not answer does not train, so fewer than make a round are no use here either.
        """
        yield from self._in_order("summarise", list(jobs), self._summary)

    def measure(self, jobs: Iterable[ClientJob]) -> Iterator[tuple[int, float]]:
        """Ask every site for its loss; those that answer are yielded in the order of the jobs."""
        yield from self._in_order("measure", list(jobs), self._loss)

    def train(self, jobs: Iterable[ClientJob]) -> Iterator[ClientUpdate]:
        """Have every site train; the updates that come are yielded in the order of the jobs."""
        chosen = list(jobs)
        if 0 < len(chosen) < self.minimum_updates:  # before anybody sends an update for nothing
            raise ShepherdError(
                f"The coreset leaves {len(chosen)} of the sites that answered to train in round "
                f"{chosen[0].round + 1}, and minimum_updates in federation.yaml is {self.minimum_updates}: of fewer, "
                "the new adapter tells what each sent. Lower minimum_updates and start the coordinator again with "
                "--resume, or begin a run whose coreset chooses more."
            )
        yield from self._in_order("train", chosen, self._update)

    def whole(self, part: RoundPart) -> RoundPart:
        """Everything came here."""
        return part

    def _in_order(
        self, kind: str, jobs: Sequence[ClientJob], read: Callable[[ClientJob, Envelope], _Answer]
    ) -> Iterator[_Answer]:
        """Yield answers in the order of the jobs, each as soon as those before it are settled."""
        by_site = {self.sites[job.client]: job for job in jobs}
        settled: dict[str, _Answer | None] = {}
        turn, count = iter(by_site), 0
        waiting = next(turn, None)
        questions = self._questions(kind, by_site)
        for site, answer in gather(self.link, questions, self.patience, refused=self.refused):
            settled[site] = self._read(by_site[site], site, answer, read)
            while waiting in settled:
                found = settled.pop(waiting)
                waiting = next(turn, None)
                if found is not None:
                    count += 1
                    yield found
        # Of few updates the new adapter tells what each sent.
        if jobs and count < self.minimum_updates:
            raise ShepherdError(
                f"Only {count} of {len(jobs)} sites answered in round {jobs[0].round + 1}, and minimum_updates is "
                f"{self.minimum_updates}; see above which were lost. Start the coordinator again with --resume when "
                "they are back: every committed round is kept."
            )

    def _read(
        self,
        job: ClientJob,
        site: str,
        answer: Envelope | Lost,
        read: Callable[[ClientJob, Envelope], _Answer],
    ) -> _Answer | None:
        """Return what a site said, or None, with the reason told, if it is of no use."""
        try:
            if isinstance(answer, Lost):
                raise Refused(answer.reason)
            return read(job, answer)
        except ShepherdError as error:
            log.warning("Site '%s' is not part of round %d: %s.", site, job.round + 1, str(error).rstrip("."))
            self.lost(job.round + 1, site, str(error))
            return None

    def _questions(self, kind: str, jobs: Mapping[str, ClientJob]) -> dict[str, Envelope]:
        questions = {}
        wire: dict[tuple[int, Part], bytes] = {}  # of each part its wire form, made once: mostly there is one
        for site, job in jobs.items():
            down = self._scope(job).down
            key = (job.adapter.vector.data_ptr(), down)
            if key not in wire:
                wire[key] = down.cut(job.adapter).to_bytes()
            told = Told(
                config=self.config,
                sites=len(self.sites),
                client=job.client,
                training=str(job.kept("training").get(_NAME, "")),
                coreset=str(job.kept("coreset").get(_NAME, "")),
                choice=job.choice,
                told=job.told,
                residual=job.residual,
                poll_examples=job.poll_examples or 0,
                configuration=job.configuration.to_tree(),
                **joined_with(self.members.get(site)),
            )
            check_fits(told.to_tree(), job.round + 1, self.config)
            questions[site] = Envelope(kind, self.run, job.round, told.to_tree(), wire[key])
        return questions

    def _summary(self, job: ClientJob, answer: Envelope) -> ClientSummary:
        said = declared(Summary, answer.body)
        if self.plausible is not None:
            self.plausible.check_summary(job.client, self.sites[job.client], said)
        return ClientSummary(job.client, said.message, _named(said.kept), _named(said.lasting), said.seconds)

    def _update(self, job: ClientJob, answer: Envelope) -> ClientUpdate:
        said = declared(Trained, answer.body)
        if self.plausible is not None:
            self.plausible.check_trained(job.client, said)
        if extra := set(said.said) - {*self.side.aggregation.hears, *self.side.training.figures}:
            raise Refused(f"it says {len(extra)} things that nobody asked for")
        self.side.aggregation.check_said(said.said, job.adapter.layout)
        up = self._scope(job).up
        update = up.pad(received_update(answer.adapter, up.cut(job.adapter), self.side.compression))
        figures = dict(vars(said))
        return ClientUpdate(
            job.client,
            update,
            state=_named(figures.pop("kept")),
            sent_bytes=len(answer.adapter),
            **figures,
        )

    def _loss(self, job: ClientJob, answer: Envelope) -> tuple[int, float]:
        said = declared(Measured, answer.body)
        if self.plausible is not None:
            self.plausible.check_loss(said.loss)
        return job.client, said.loss

    def _scope(self, job: ClientJob) -> Scope:
        return self.side.scope(job.configuration, job.adapter.layout, job.round)


def received_update(data: bytes, like: Adapter, compression: Compression | None) -> Adapter:
    """Read what a site sent of its update, which must be shaped like `like`; nothing about it is trusted."""
    if compression is None:
        return Adapter.from_bytes(data, like, "its update")
    most = 8 * like.parameters + _MESSAGE_ALLOWANCE
    if len(data) > most:
        raise Refused(
            f"its update has {len(data):,} bytes, and {compression.name} sends no more than {most:,}"
        )
    try:
        message = from_bytes(data)
    except UNREADABLE as error:
        raise Refused(f"its update is no message of {compression.name} ({type(error).__name__})") from error
    found = compression.decompress(message, like.layout)
    check_like(found, like, "its update")
    return found


def joined_with(said: Introduction | None) -> dict[str, Any]:
    """Return what a site is to have still, as it joined with it."""
    return {} if said is None else {part: getattr(said, part) for part in ("data", "base", "layout", "drawn")}


def _named(name: str) -> Tree:
    return {_NAME: name} if name else {}
