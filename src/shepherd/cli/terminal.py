"""The application, and its consoles."""

from __future__ import annotations

import typer
import typer.core
from rich.console import Console

from shepherd.torchrun import started_by_torchrun

# Help is plain text here; typer would escape its brackets for rich all the same.
typer.core.HAS_RICH = False
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


def say(sentence: str, beside: bool = False) -> None:
    """Print a sentence as it is, on one line however long; `beside` what has standard output to itself."""
    if TALKS:
        (err if beside else out).print(sentence, highlight=False, markup=False, soft_wrap=True)
