"""Asking sites and waiting for them: who is connected, what is lost and asked again, and when it is enough.

This file knows no Flower and no training. A `Link` carries envelopes; here is only patience.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from shepherd.deploy.wire import Envelope

_NOBODY: Mapping[str, str] = MappingProxyType({})
_NOT_ADMITTED = "it was removed from the federation, or its key cannot be used"


@dataclass(frozen=True)
class Received:
    """What came back of one message.

    Attributes
    ----------
    id : str
        The message's.
    answer : Envelope, optional
        The answer, if one came and could be read.
    reason : str
        Why there is none.
    again : bool
        Whether asking again may help: the site was gone, not unwilling.
    """

    id: str
    answer: Envelope | None = None
    reason: str = ""
    again: bool = False


class Link(Protocol):
    """Carries envelopes to sites and back."""

    def online(self) -> Collection[str]:
        """Return the names of the sites that are connected."""
        ...

    def admitted(self) -> Collection[str]:
        """Return the names that the federation has now, connected or not."""
        ...

    def send(self, messages: Mapping[str, Envelope], seconds: float) -> Mapping[str, str]:
        """Send a message to each site, good for so many seconds; return its id for each site that it went to."""
        ...

    def receive(self, ids: Collection[str]) -> list[Received]:
        """Return what has come back since, of the messages `ids`."""
        ...


@dataclass(frozen=True)
class Patience:
    """How long, how often, and how many.

    Attributes
    ----------
    seconds : float
        For all of it, from the first message to the last answer.
    attempts : int
        How often a site is asked whose answer was lost.
    enough_share : float
        The share of the sites, in (0, 1], whose answers end the waiting; the late ones are dropped.
    poll_s : float
        Seconds between two looks.
    pause_s : float
        Seconds before a site is asked for the second time, and twice as many each time after: a site whose
        connection was lost needs half a minute until it is let in again.
    """

    seconds: float = 3600.0
    attempts: int = 6
    enough_share: float = 1.0
    poll_s: float = 0.1
    pause_s: float = 5.0

    def enough(self, asked: int) -> int:
        """Return how many answers of `asked` sites are enough."""
        return max(1, math.ceil(self.enough_share * asked - 1e-9))

    def pause(self, sent: int) -> float:
        """Return how long to wait before asking again who was asked so many times."""
        return self.pause_s * 2.0 ** (sent - 1)


@dataclass(frozen=True)
class Lost:
    """A site that does not answer this time, and why."""

    reason: str


@dataclass
class _Asked:
    """Where one site's question stands: the messages that are out for it, and how many were sent."""

    envelope: Envelope
    out: set[str]
    sent: int = 0
    not_before: float = -math.inf
    reason: str = "it was not connected"


def gather(
    link: Link,
    questions: Mapping[str, Envelope],
    patience: Patience,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    refused: Mapping[str, str] = _NOBODY,
) -> Iterator[tuple[str, Envelope | Lost]]:
    """Ask every site its question and yield each one's answer, or why there is none, as they come.

    A site that is not connected is waited for; one whose answer was lost is asked again when it is back. One question
    at a time is out for a site: what the link calls lost does not come any more. A site that is refused, or that the
    federation no longer has, is lost at once.

    Parameters
    ----------
    link : Link
        Carries the messages.
    questions : mapping of str to Envelope
        The question to each site.
    patience : Patience
        How long to wait.
    clock, sleep : callable
        Seconds from some beginning on, and a pause.
    refused : mapping of str to str
        Sites that are not asked, and why.
    """
    end, enough, answered = clock() + patience.seconds, patience.enough(len(questions)), 0
    open_ = {site: _Asked(envelope, set()) for site, envelope in questions.items()}
    while open_:
        for site, why in _shut_out(link, open_, refused).items():
            del open_[site]
            yield site, Lost(why)
        _send(link, open_, patience, clock(), end)
        by_id = {id: site for site, asked in open_.items() for id in asked.out}
        for received in link.receive(set(by_id)) if by_id else ():
            site = by_id[received.id]
            if site not in open_:
                continue  # answered by an earlier asking, a moment ago
            outcome = _outcome(open_[site], received, patience.attempts)
            if outcome is None:
                open_[site].not_before = clock() + patience.pause(open_[site].sent)
            else:
                del open_[site]
                answered += isinstance(outcome, Envelope)
                yield site, outcome
        if answered >= enough or clock() >= end:
            break
        if open_:
            sleep(patience.poll_s)
    late = (
        "enough others had answered" if answered >= enough else f"{patience.seconds:.0f} seconds had passed"
    )
    for site, asked in open_.items():
        yield site, Lost(late if asked.out else f"{asked.reason}, and {late}")


def _shut_out(link: Link, open_: Collection[str], refused: Mapping[str, str]) -> dict[str, str]:
    """Return which sites no answer can be hoped for, and why."""
    admitted = set(link.admitted())
    removed = {site: _NOT_ADMITTED for site in open_ if site not in admitted}
    return {**removed, **{site: refused[site] for site in open_ if site in refused}}


def _send(link: Link, open_: Mapping[str, _Asked], patience: Patience, now: float, end: float) -> None:
    """Ask those that have no message out and are connected."""
    waiting = {
        site: asked
        for site, asked in open_.items()
        if not asked.out and asked.sent < patience.attempts and asked.not_before <= now
    }
    if not waiting:
        return
    online = link.online()
    ready = {site: asked.envelope for site, asked in waiting.items() if site in online}
    for site, id in link.send(ready, max(0.0, end - now)).items() if ready else ():
        open_[site].out.add(id)
        open_[site].sent += 1


def _outcome(asked: _Asked, received: Received, attempts: int) -> Envelope | Lost | None:
    """Return what a site's question has come to; None while there is hope."""
    asked.out.discard(received.id)
    answer = received.answer
    if answer is not None:
        if not answer.answers(asked.envelope):
            return Lost("it answered another question than it was asked")
        return Lost(answer.error) if answer.error else answer
    asked.reason = received.reason
    if received.again and (asked.out or asked.sent < attempts):
        return None
    return Lost(f"{received.reason} (asked {asked.sent} times)" if received.again else received.reason)
