"""Commands about a finished run: its answers, a merged model, its report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shepherd.cli import terminal
from shepherd.cli.options import MaxNewTokens, RunArgument
from shepherd.cli.terminal import say


@terminal.app.command()
def generate(
    run: RunArgument,
    prompt: Annotated[list[str], typer.Option(help="An instruction; may be given several times.")],
    context: Annotated[str, typer.Option(help="The instructions' input.")] = "",
    max_new_tokens: MaxNewTokens = 128,
) -> None:
    """Answer instructions with the tuned adapter, beside the untuned base."""
    from rich.table import Table
    from rich.text import Text

    from shepherd.generate import side_by_side
    from shepherd.runs import load_run

    table = Table("instruction", "base", "federated", show_lines=True)
    for answer in side_by_side(load_run(run), prompt, context, max_new_tokens):
        table.add_row(*map(Text, answer))
    terminal.out.print(table)


@terminal.app.command()
def export(
    run: RunArgument,
    merged: Annotated[Path, typer.Option(help="Where to write base and adapter merged into one model.")],
) -> None:
    """Merge the adapter into its base: a plain Hugging Face model directory."""
    from shepherd.export import export_merged
    from shepherd.runs import load_run

    export_merged(load_run(run), merged)
    say(f"The merged model is in {merged}")


@terminal.app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN|STUDY", help="A run's directory, or a study's.")],
) -> None:
    """Write report.html anew: of a run with its baselines, or of a study."""
    from shepherd.study.directory import Study

    if Study(folder).exists:
        from shepherd.report.study_html import write_study_report

        say(f"The report is {write_study_report(Study(folder))}")
    else:
        from shepherd.report.html import write_report

        say(f"The report is {write_report(folder)}")
