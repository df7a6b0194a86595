"""The application, its consoles, and the arguments that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from shepherd.torchrun import started_by_torchrun

app = typer.Typer(
    help="Federated instruction tuning of language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
#: Of the processes that torchrun starts, one talks.
TALKS = started_by_torchrun()[0] == 0
#: Standard output and standard error; commands look them up here when they write.
out, err = Console(quiet=not TALKS), Console(stderr=True)

ConfigArgument = Annotated[str, typer.Argument(metavar="CONFIG", help="A preset's name or a YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="key=value…", help="Changes to the config, e.g. training.lr=1e-3."),
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory, e.g. runs/quickstart.")]


def say(sentence: str) -> None:
    """Print a sentence as it is, on one line however long."""
    out.print(sentence, highlight=False, markup=False, soft_wrap=True)
