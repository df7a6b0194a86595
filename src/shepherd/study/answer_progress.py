"""What a person sees while models are asked: answers done of all, and the time left."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from shepherd.study.answering import Watcher
from shepherd.study.answers import Answer


class AnswerProgress(Watcher):
    """A bar for each model; on anything but a terminal it says nothing.

    Parameters
    ----------
    console : Console
        Where to draw.
    """

    def __init__(self, console: Console) -> None:
        self.bars = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("answers"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            disable=not console.is_terminal,
        )
        self.task: TaskID | None = None

    def __enter__(self) -> AnswerProgress:
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def asking(self, label: str, answered: int, questions: int) -> None:
        """Begin a model's bar."""
        self.task = self.bars.add_task(label, completed=answered, total=questions)

    def answered(self, answer: Answer) -> None:
        """Advance the bar."""
        if self.task is not None:
            self.bars.advance(self.task)
