"""`shepherd personalise`: every client's own adapter, after a run."""

from __future__ import annotations

from typing import Annotated

import typer

from shepherd.cli import terminal
from shepherd.cli.options import FormOption, OutputOption, RunArgument
from shepherd.errors import ShepherdError


@terminal.app.command()
def personalise(
    run: RunArgument,
    clients: Annotated[
        str | None, typer.Option(help="Whose, by name, separated by commas; everybody's unless told.")
    ] = None,
    form: FormOption = None,
    output: OutputOption = None,
) -> None:
    """Make and test clients' own adapters: on their own test and on what nobody has seen.

    The run must be one that gives clients adapters of their own (personalisation.name, or aggregation.name=fedsa or
    clustered); for the own test it must have kept examples (data.own_test). What is done is not done again.
    """
    from rich.progress import track

    from shepherd.cli.showing import say_beside, show
    from shepherd.personalise import Personaliser
    from shepherd.report.html import write_report
    from shepherd.report.personal_table import personal_tables, to_csv
    from shepherd.report.table_files import Document, form_of
    from shepherd.runs import load_run

    form = form_of(form, output)
    names = None if clients is None else _names(clients)
    personaliser = Personaliser(load_run(run))
    everybody = range(len(personaliser.clients))
    wanted = everybody if names is None else [personaliser.number_of(name) for name in names]
    scores = list(
        track(
            personaliser.scores(wanted),
            "Clients' own adapters",
            total=len(wanted),
            console=terminal.out,
            disable=not terminal.out.is_terminal,
            transient=True,
        )
    )
    where = f"The adapters are in {personaliser.folder}, a folder for each client, as PEFT loads them."
    say_beside(form, output, where)
    if form == "table" and output is None:
        terminal.say(f"The report is {write_report(personaliser.run.directory)}")
    tables = personal_tables(scores)
    document = Document("Clients' own adapters", tables, to_csv(scores))
    show(form, output, "The scores are", lambda: tables, lambda: document)


def _names(clients: str) -> list[str]:
    names = [name.strip() for name in clients.split(",")]
    if not all(names):
        raise ShepherdError(
            f"--clients is '{clients}', which leaves a name empty; give names separated by commas, or no --clients for "
            "everybody's adapters."
        )
    return names
