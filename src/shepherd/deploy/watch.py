"""What there is to know of a running federation, as of now: for the page in the terminal, the status, the metrics."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from shepherd.deploy.exchange import Link
from shepherd.deploy.private_files import write_private
from shepherd.errors import ShepherdError
from shepherd.metrics import Line
from shepherd.observer import Observer
from shepherd.state import RunState

Doing = Literal["idle", "asked", "answered", "lost"]


@dataclass(frozen=True)
class SiteNow:
    """A site as of now.

    Attributes
    ----------
    online : bool
        Whether it is connected.
    doing : str
        ``idle``, ``asked`` (it works on a message, or has not taken it yet), ``answered``, or ``lost`` for this round.
    since : float
        When that began, in seconds since 1970.
    rounds : int
        Rounds its updates were part of.
    losses : int
        Rounds it was asked for and lost.
    bytes_up, bytes_down : int
        What its messages had, in bytes.
    reason : str
        Why it was last lost.
    seconds : float
        What its last round took it.
    """

    online: bool = False
    doing: Doing = "idle"
    since: float = 0.0
    rounds: int = 0
    losses: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    reason: str = ""
    seconds: float = 0.0


@dataclass
class Now:
    """A federation as of now.

    Attributes
    ----------
    run : str
        The run's name.
    round, rounds : int
        Rounds committed, and how many there are to be.
    loss : float, optional
        The last held-out loss, in nats per response token.
    round_seconds : float
        What the last round took.
    sites : dict of str to SiteNow
        Every site.
    written : float
        When this was, in seconds since 1970.
    """

    run: str
    round: int = 0
    rounds: int = 0
    loss: float | None = None
    round_seconds: float = 0.0
    sites: dict[str, SiteNow] = field(default_factory=dict)
    written: float = 0.0


class Watch(Observer):
    """Follows a run over sites. The page looks and writes in a thread of its own, so both take turns with the run.

    Parameters
    ----------
    run : str
        The run's name.
    sites : sequence of str
        The federation's sites.
    status : Path, optional
        A file that always says how it stands, for other processes to read.
    """

    def __init__(self, run: str, sites: Sequence[str], status: Path | None = None) -> None:
        self.now = Now(run, sites={name: SiteNow(since=time.time()) for name in sites})
        self.status = status
        self.link: Link | None = None
        self._turn = threading.RLock()

    def linked(self, link: Link) -> None:
        """Hear how to find out who is connected."""
        self.link = link

    def look(self) -> Now:
        """Return how it stands, having looked who is connected."""
        online = set(self.link.online()) if self.link is not None else set()
        for name in list(self.now.sites):
            self._change(name, online=name in online)
        return self.now

    def write(self) -> None:
        """Write the status, where its folder is: a coordinator that has finished has removed it."""
        with self._turn:
            self.now.written = time.time()
            if self.status is not None and self.status.parent.is_dir():
                write_private(self.status, (json.dumps(asdict(self.now), indent=2) + "\n").encode())

    def started(self, state: RunState, rounds: int) -> None:
        """Hear where the run begins."""
        self.now.round, self.now.rounds = state.round, rounds
        self.write()

    def selecting(self, round: int, clients: Sequence[str]) -> None:
        """Hear who is asked about its examples."""
        self._set(clients, "asked")

    def summarised(self, client: str) -> None:
        """Hear that one has answered."""
        self._set([client], "answered")

    def cohort(self, round: int, clients: Sequence[str]) -> None:
        """Hear who trains."""
        self._set(clients, "asked")

    def client(self, line: Line) -> None:
        """Hear that one has trained."""
        with self._turn:
            site = self._site(line["client"])
            self._change(
                line["client"],
                doing="answered",
                since=time.time(),
                rounds=site.rounds + 1,
                bytes_up=site.bytes_up + line["bytes_up"],
                bytes_down=site.bytes_down + line["bytes_down"],
                seconds=line["machine"]["seconds"],
            )
        self.write()

    def lost(self, round: int, name: str, reason: str) -> None:
        """Hear that a site is not part of a round."""
        with self._turn:
            losses = self._site(name).losses + 1
            self._change(name, doing="lost", since=time.time(), losses=losses, reason=reason)
        self.write()

    def committed(self, state: RunState, lines: Sequence[Line]) -> None:
        """Hear that a round is on disk."""
        self.now.round = state.round
        for line in lines:
            if line["scope"] == "global":
                self.now.loss = line["loss"]
            if line["scope"] == "round":
                self.now.round_seconds = line["machine"]["seconds"]
        self._set(list(self.now.sites), "idle")

    def _set(self, names: Sequence[str], doing: Doing) -> None:
        for name in names:
            self._change(name, doing=doing, since=time.time())
        self.write()

    def _change(self, name: str, **figures: Any) -> None:
        with self._turn:
            self.now.sites[name] = replace(self._site(name), **figures)

    def _site(self, name: str) -> SiteNow:
        """Return a site; a run's may have been removed from the federation since it began."""
        return self.now.sites.get(name, SiteNow(since=time.time()))


def read_status(path: Path) -> dict[str, Any] | None:
    """Return what a coordinator last wrote of itself, or None where none runs."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def now_of(said: Mapping[str, Any], path: Path) -> Now:
    """Return what `read_status` read from `path`, as it was written.

    Raises
    ------
    ShepherdError
        If it is not what this release writes.
    """
    try:
        return Now(**{**said, "sites": {name: SiteNow(**site) for name, site in said["sites"].items()}})
    except (TypeError, KeyError, AttributeError):
        raise ShepherdError(
            f"{path} was not written by this release of Shepherd; use the coordinator's."
        ) from None
