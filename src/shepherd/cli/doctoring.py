"""`shepherd doctor`: one line for each thing that a federation needs, and what to do about those that are not right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shepherd.cli import terminal

if TYPE_CHECKING:
    from shepherd.deploy.finding import Finding

_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}


@terminal.app.command()
def doctor(
    place: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR|BUNDLE",
            help="A coordinator's folder or a site's bundle; this machine alone unless told.",
        ),
    ] = None,
    base: Annotated[
        bool,
        typer.Option("--base", help="Load the base models that a bundle allows, to compare their hashes."),
    ] = False,
) -> None:
    """Look for what would keep a coordinator or a site from working, and say what to do."""
    from shepherd.deploy.doctor import examine

    problems = 0
    for finding in examine(place, base):
        _show(finding)
        problems += finding.level == "problem"
    if problems:
        raise typer.Exit(2)


def _show(finding: Finding) -> None:
    from rich.text import Text

    line = Text.assemble((f"{finding.level:<9}", _STYLES[finding.level]), finding.what)
    if finding.advice:
        line.append(f" {finding.advice}", "dim")
    terminal.out.print(line, highlight=False, soft_wrap=True)
