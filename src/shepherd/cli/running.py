"""Commands that run something: a federation, its baselines; and what can be looked at before."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.syntax import Syntax

from shepherd.cli import terminal
from shepherd.cli.comparing import compare
from shepherd.cli.options import ConfigArgument, Overrides

if TYPE_CHECKING:
    from shepherd.config import RunConfig


@terminal.app.command()
def run(
    config: ConfigArgument,
    overrides: Overrides = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last committed round; begin if there is none.")
    ] = False,
) -> None:
    """Run a federation; leaves adapter, metrics and report in the run directory."""
    from shepherd.config import load_config
    from shepherd.progress import RunProgress
    from shepherd.report.terminal import print_summary
    from shepherd.runs import run as run_config

    resolved = load_config(config, overrides or ())
    if resume:
        say_if_it_begins(resolved)
    with RunProgress(terminal.out, resolved.run.name) as progress:
        finished = run_config(resolved, resume=resume, observers=[progress])
    if terminal.TALKS:
        print_summary(finished.record, terminal.out)


def say_if_it_begins(config: RunConfig) -> None:
    """Say of a run that is to be resumed that there is none: a service begins it so, and a name may be mistyped."""
    from shepherd.run_directory import RunDirectory

    if not RunDirectory(config.run.directory).holds_a_run:
        terminal.say(f"There is nothing to resume in {config.run.directory}; beginning.")


@terminal.app.command()
def presets(
    name: Annotated[str | None, typer.Argument(help="Print this preset; list them all without it.")] = None,
) -> None:
    """List the presets, or print one with its comments."""
    from shepherd.config import preset_names, preset_text

    if name is None:
        for known in preset_names():
            first = preset_text(known).splitlines()[0].lstrip("# ")
            terminal.out.print(f"[bold]{known}[/bold]  {first}", highlight=False, soft_wrap=True)
    elif terminal.out.is_terminal:
        terminal.out.print(Syntax(preset_text(name), "yaml", background_color="default", word_wrap=True))
    else:
        sys.stdout.write(preset_text(name))


@terminal.app.command()
def allocate(config: ConfigArgument, overrides: Overrides = None) -> None:
    """Deal the instructions to clients; writes their files, a table and the picture of heterogeneity."""
    from shepherd.allocate import allocate as write_allocation
    from shepherd.config import load_config
    from shepherd.report.heterogeneity_table import heterogeneity_table

    found, folder = write_allocation(load_config(config, overrides or ()))
    terminal.out.print(heterogeneity_table(found))
    terminal.out.print(f"Clients, table and picture are in {folder}", highlight=False, soft_wrap=True)


@terminal.app.command()
def baselines(
    config: ConfigArgument,
    overrides: Overrides = None,
    clients: Annotated[
        str | None, typer.Option(help="Who trains alone, by name, separated by commas; drawn unless told.")
    ] = None,
    budget: Annotated[
        Literal["examples", "rounds"],
        typer.Option(
            help="A client alone trains on as many examples, or in as many rounds, as the federation."
        ),
    ] = "examples",
    alone: Annotated[int, typer.Option(min=0, help="How many clients to draw to train alone.")] = 3,
    alone_on: Annotated[
        list[str] | None,
        typer.Option(help="Instead: the client that holds little else than category[+category]; repeatable."),
    ] = None,
) -> None:
    """Run the untuned base, single clients and centralised tuning on the federated run's budget.

    The federated run is completed first if it is not there yet. What is done is not done again.
    """
    from shepherd.baselines import Alone, run_baselines
    from shepherd.config import load_config
    from shepherd.progress import RunProgress
    from shepherd.report.record import read_record
    from shepherd.report.terminal import print_summary

    names = [name.strip() for name in clients.split(",")] if clients else []
    holding = [kinds.split("+") for kinds in alone_on or ()]
    resolved = load_config(config, overrides or ())
    run_baselines(
        resolved, Alone(names, holding, alone), budget, lambda label: RunProgress(terminal.out, label)
    )
    print_summary(read_record(resolved.run.directory), terminal.out)
    compare([resolved.run.directory])
