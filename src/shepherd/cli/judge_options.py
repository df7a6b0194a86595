"""The arguments and options of `shepherd judge` alone; they are many, and its function is to fit on a screen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shepherd.judge.judgement import Form

Judged = Annotated[
    list[str] | None,
    typer.Argument(metavar="[MODEL]…", help="Whose answers to judge; all but the reference's unless told."),
]
Against = Annotated[str | None, typer.Option(help="The reference whose answers stand beside theirs.")]
FormOfJudging = Annotated[
    Form, typer.Option(help="1 to 10 for both, which is better, or 1 to 10 for one at a time.")
]
Ratings = Annotated[int, typer.Option(min=1, help="How often the same is asked, in each order.")]
Retries = Annotated[
    int, typer.Option(min=0, help="How often a reply that cannot be read is asked for again.")
]
OneOrder = Annotated[
    bool,
    typer.Option("--one-order", help="Show the model first, always; both orders are asked unless told."),
]
OwnPrompt = Annotated[Path | None, typer.Option(help="A file with your own prompt.")]
DrawSeed = Annotated[int, typer.Option(help="What --count draws by; more questions include fewer.")]
JudgeTemperature = Annotated[float, typer.Option(help="Above 0, so that several ratings are more than one.")]
MaxTokens = Annotated[int, typer.Option(help="Most tokens of a reply.")]
JudgeName = Annotated[str | None, typer.Option(help="The judge's folder; by its model unless told.")]
AnsweredOnly = Annotated[
    bool, typer.Option("--answered-only", help="Leave out questions that are not answered yet.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what it would cost; nothing is asked, and no key needed.")
]
Recompute = Annotated[
    bool, typer.Option("--recompute", help="Read the stored replies again; nothing is asked.")
]
