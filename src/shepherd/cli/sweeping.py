"""`shepherd sweep`: a grid of runs, their table and picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shepherd.cli import terminal
from shepherd.cli.options import ConfigArgument, FormOption, OutputOption
from shepherd.cli.terminal import say
from shepherd.errors import ShepherdError

if TYPE_CHECKING:
    from shepherd.progress import RunProgress
    from shepherd.sweep.grid import Plan


@terminal.app.command()
def sweep(
    config: ConfigArgument,
    values: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="key=a,b,c…",
            help="Values to try, e.g. adapter.rank=4,8,16; one value is a change to all. Keys that change together are "
            "joined: aggregation.name+training.correction=fedavg+null,scaffold+scaffold.",
        ),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Run every combination with each of these, e.g. 0,1,2.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The sweep's folder in run.root; <run.name>-sweep unless told.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the cells and run nothing.")] = False,
    form: FormOption = None,
    output: OutputOption = None,
) -> None:
    """Run every combination of values, then write their table and picture; what is finished is not run again."""
    from shepherd.report.table_files import form_of
    from shepherd.sweep.grid import plan_sweep
    from shepherd.sweep.values import read_seeds

    form = form_of(form, output)  # a wrong one is said before anything runs
    plan = plan_sweep(config, values or (), None if seeds is None else read_seeds(seeds), name)
    if dry_run:
        _list(plan)
    else:
        _run(plan, form, output)


def _list(plan: Plan) -> None:
    from shepherd.units import counted

    for cell in plan.cells:
        done = " (finished)" if cell.finished else ""
        say(f"{cell.config.run.directory}  {cell.words}{done}")
    left = sum(not cell.finished for cell in plan.cells)
    say(f"{counted(len(plan.cells), 'cell')}, {left:,} to run.")


def _run(plan: Plan, form: str, output: Path | None) -> None:
    from shepherd.cli.showing import say_beside, show
    from shepherd.report.sweep_document import sweep_document
    from shepherd.report.sweep_table import sweep_table
    from shepherd.sweep.running import PICTURE, run_sweep, write_results
    from shepherd.units import counted

    failures = run_sweep(plan, _progress, say)
    if len(failures) < len(plan.cells):
        results = write_results(plan)
        show(
            form,
            output,
            "The results are",
            lambda: [sweep_table(results)],
            lambda: sweep_document(results, form),
        )
        if results.can_be_paired:
            paired = "Differences paired by seed, without what the hold-outs differ in"
            say_beside(form, output, f"{paired}: {results.pairing_command}")
        if results.with_own:
            personal = (
                "Clients' own adapters, of which this table says nothing, are made and tested run by run"
            )
            say_beside(form, output, f"{personal}: {results.personalising_command}")
        say_beside(form, output, f"Table and picture are in {plan.folder}: table.md, table.csv, {PICTURE}")
    if failures:
        first = next(iter(failures.values()))
        raise ShepherdError(
            f"{len(failures)} of {counted(len(plan.cells), 'cell')} failed, the first of them thus: {first} "
            "Give the command again to try them anew."
        )


def _progress(cell: str) -> RunProgress:
    from shepherd.progress import RunProgress

    return RunProgress(terminal.out, cell)
