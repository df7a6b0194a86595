"""What a person sees while a judge is asked: calls done of all, and the time left."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from shepherd.endpoint import Reply
from shepherd.judge.judging import Watcher


class JudgeProgress(Watcher):
    """A bar; on anything but a terminal it says nothing.

    Parameters
    ----------
    console : Console
        Where to draw.
    judge : str
        Who is asked.
    """

    def __init__(self, console: Console, judge: str) -> None:
        self.bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("calls"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            disable=not console.is_terminal,
        )
        self.calls = 0
        self.task = self.bar.add_task(judge, total=None)

    def __enter__(self) -> JudgeProgress:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def asking(self, calls: int) -> None:
        """Add calls to the bar; replies that could not be read are asked for again."""
        self.calls += calls
        self.bar.update(self.task, total=self.calls)

    def replied(self, reply: Reply) -> None:
        """Advance the bar."""
        self.bar.advance(self.task)
