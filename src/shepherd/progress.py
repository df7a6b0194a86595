"""What a person sees while a run goes on: bars with the time left, and a table that grows by the round."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from shepherd.observer import Observer
from shepherd.state import RunState
from shepherd.units import duration

Line = dict[str, Any]
_SHOWN = 12


class RunProgress(Observer):
    """An observer that draws; on anything but a terminal it prints a line a round instead.

    Parameters
    ----------
    console : Console
        Where to draw.
    title : str
        What is running.
    """

    def __init__(self, console: Console, title: str) -> None:
        self.console = console
        self.title = title
        self.rows: list[tuple[str, ...]] = []
        self.bars = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
        )
        self.rounds = self.bars.add_task(title, total=None)
        self.clients = self.bars.add_task("clients", total=None, visible=False)
        self.live = Live(console=console, get_renderable=self._picture, refresh_per_second=4)

    def __enter__(self) -> RunProgress:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.update(self.clients, visible=False)
        if self.console.is_terminal:
            self.live.stop()

    def started(self, state: RunState, rounds: int) -> None:
        """Set the bar to where the run goes on."""
        self.bars.update(self.rounds, total=rounds, completed=state.round)

    def selecting(self, round: int, clients: Sequence[str]) -> None:
        """Begin the selection's bar."""
        self._begin(f"selection of round {round}", len(clients))

    def summarised(self, client: str) -> None:
        """Advance the selection's bar."""
        self.bars.advance(self.clients)

    def cohort(self, round: int, clients: Sequence[str]) -> None:
        """Begin the cohort's bar."""
        self._begin(f"clients of round {round}", len(clients))

    def client(self, line: Line) -> None:
        """Advance the cohort's bar."""
        self.bars.advance(self.clients)

    def committed(self, state: RunState, lines: Sequence[Line]) -> None:
        """Add a row for the round."""
        self.bars.update(self.rounds, completed=state.round)
        row = _row(state.round, lines)
        self.rows = [*self.rows, row][-_SHOWN:]
        if not self.console.is_terminal:
            self.console.print(f"{self.title}: " + ", ".join(_named(row)), highlight=False, soft_wrap=True)

    def _begin(self, what: str, clients: int) -> None:
        self.bars.reset(self.clients, total=clients, visible=True, description=what)
        if self.live.is_started:
            self.live.refresh()  # a small model's round may be over before the next picture is due

    def _picture(self) -> Group:
        table = Table(box=None, pad_edge=False)
        measured = [place for place in range(len(_HEADINGS)) if any(row[place] for row in self.rows)]
        for place in measured:
            table.add_column(_HEADINGS[place], justify="right")
        for row in self.rows:
            table.add_row(*(row[place] for place in measured))
        return Group(table, self.bars)


_HEADINGS = ("round", "held-out loss", "ROUGE-L", "train loss", "clients", "examples", "tokens/s", "seconds")


def _row(round: int, lines: Sequence[Line]) -> tuple[str, ...]:
    by_scope = {line["scope"]: line for line in lines}
    after, done = by_scope.get("global", {}), by_scope.get("round", {})
    machine = done.get("machine", {})
    seconds = machine.get("seconds", 0.0) + after.get("machine", {}).get("seconds", 0.0)

    def figure(value: float | None, form: str) -> str:
        """Return a figure as it is shown; nothing of what was not measured."""
        return "" if value is None else format(value, form)

    return (
        str(round),
        figure(after.get("loss"), ".4f"),
        figure(after.get("rouge_l"), ".3f"),
        figure(done.get("train_loss"), ".4f"),
        figure(done.get("clients"), "d"),
        figure(done.get("examples"), "d"),
        figure(machine.get("tokens_per_second"), ",.0f"),
        figure(seconds, ".1f") + _choosing(by_scope, machine) + _simulated(done),
    )


def _choosing(by_scope: dict[str, Line], machine: dict[str, Any]) -> str:
    """Return how many of a round's seconds choosing took, where clients were asked for it."""
    if not {"selection", "poll"} & by_scope.keys() or "selection_seconds" not in machine:
        return ""
    return f" ({machine['selection_seconds']:.1f} choosing)"


def _simulated(done: Line) -> str:
    """Return what the clock of simulated devices says after a round, where there are any."""
    hours = done.get("simulated_clock_hours")
    return "" if hours is None else f" (simulated so far: {duration(3600 * hours)})"


def _named(row: tuple[str, ...]) -> list[str]:
    return [f"{heading} {value}" for heading, value in zip(_HEADINGS, row, strict=True) if value]
