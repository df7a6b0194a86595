"""Who is told what happens in a run, as it happens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shepherd.messages import ClientSummary
from shepherd.metrics import Line
from shepherd.state import RunState
from shepherd.tree import Tree


class Observer:
    """Is told what happens, as it happens; nothing it does can change a result. Here it takes no notice."""

    def started(self, state: RunState, rounds: int) -> None:
        """Hear that the loop begins, or goes on, at `state`."""

    def selecting(self, round: int, clients: Sequence[str]) -> None:
        """Hear who is asked about its examples in `round` (from 1)."""

    def summarised(self, client: str) -> None:
        """Hear that a client has answered."""

    def chosen(self, selection: Selection) -> None:
        """Hear what was chosen from the answers."""

    def cohort(self, round: int, clients: Sequence[str]) -> None:
        """Hear who trains in `round` (from 1)."""

    def client(self, line: Line) -> None:
        """Hear a client's line of metrics."""

    def lost(self, round: int, client: str, reason: str) -> None:
        """Hear that a client that was asked is not part of `round`; over a network some are not."""

    def committed(self, state: RunState, lines: Sequence[Line]) -> None:
        """Hear that a round is on disk, with all of its lines."""


@dataclass(frozen=True)
class Selection:
    """What came of a round's selection.

    Attributes
    ----------
    round : int
        The round, from 1.
    summaries : mapping of int to ClientSummary
        What the clients made of their examples, where they were asked.
    choices : mapping of int to object
        The choice for each client that trains.
    state : Tree
        What the coreset remembers.
    lines : list of dict
        The asked clients' lines of metrics.
    """

    round: int
    summaries: Mapping[int, ClientSummary]
    choices: Mapping[int, Any]
    state: Tree
    lines: list[Line]


class Observers(Observer):
    """Tells several what it hears, in their order."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self.observers = observers

    def started(self, state: RunState, rounds: int) -> None:
        """Pass it on."""
        for observer in self.observers:
            observer.started(state, rounds)

    def selecting(self, round: int, clients: Sequence[str]) -> None:
        """Pass it on."""
        for observer in self.observers:
            observer.selecting(round, clients)

    def summarised(self, client: str) -> None:
        """Pass it on."""
        for observer in self.observers:
            observer.summarised(client)

    def chosen(self, selection: Selection) -> None:
        """Pass it on."""
        for observer in self.observers:
            observer.chosen(selection)

    def cohort(self, round: int, clients: Sequence[str]) -> None:
        """Pass it on."""
        for observer in self.observers:
            observer.cohort(round, clients)

    def client(self, line: Line) -> None:
        """Pass it on."""
        for observer in self.observers:
            observer.client(line)

    def lost(self, round: int, client: str, reason: str) -> None:
        """Pass it on."""
        for observer in self.observers:
            observer.lost(round, client, reason)

    def committed(self, state: RunState, lines: Sequence[Line]) -> None:
        """Pass it on."""
        for observer in self.observers:
            observer.committed(state, lines)
