"""What a person sees while models or a judge are asked: how much is done of all, and the time left.

On anything but a terminal they say nothing.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

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

from shepherd.endpoint import Reply
from shepherd.judge import judging
from shepherd.study import answering
from shepherd.study.answers import Answer


class _Bars:
    """Bars that count `unit`."""

    def __init__(self, console: Console, unit: str) -> None:
        self.bars = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()


class AnswerBars(_Bars, answering.Watcher):
    """A bar for each model that answers.

    Parameters
    ----------
    console : Console
        Where to draw.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(console, "answers")
        self.task: TaskID | None = None

    def asking(self, label: str, answered: int, questions: int) -> None:
        """Begin a model's bar."""
        self.task = self.bars.add_task(label, completed=answered, total=questions)

    def answered(self, answer: Answer) -> None:
        """Advance the bar."""
        if self.task is not None:
            self.bars.advance(self.task)


class JudgeBar(_Bars, judging.Watcher):
    """A bar of a judge's calls.

    Parameters
    ----------
    console : Console
        Where to draw.
    judge : str
        Who is asked.
    """

    def __init__(self, console: Console, judge: str) -> None:
        super().__init__(console, "calls")
        self.calls = 0
        self.task = self.bars.add_task(judge, total=None)

    def asking(self, calls: int) -> None:
        """Add calls to the bar; replies that could not be read are asked for again."""
        self.calls += calls
        self.bars.update(self.task, total=self.calls)

    def replied(self, reply: Reply) -> None:
        """Advance the bar."""
        self.bars.advance(self.task)
