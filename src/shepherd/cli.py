"""The command `shepherd`: one thin function per command.

A mistake of the user's ends in one sentence on standard error and exit code 2, Ctrl-C in 130.
"""

from __future__ import annotations

import errno
import logging
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.syntax import Syntax

from shepherd.errors import ShepherdError
from shepherd.torchrun import started_by_torchrun

app = typer.Typer(
    help="Federated instruction tuning of language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
# Of the processes that torchrun starts, one talks.
_TALKS = started_by_torchrun()[0] == 0
out, err = Console(quiet=not _TALKS), Console(stderr=True)

ConfigArgument = Annotated[str, typer.Argument(metavar="CONFIG", help="A preset's name or a YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="key=value…", help="Changes to the config, e.g. training.lr=1e-3."),
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory, e.g. runs/quickstart.")]


@app.command()
def run(
    config: ConfigArgument,
    overrides: Overrides = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last committed round.")] = False,
) -> None:
    """Run a federation; leaves adapter, metrics and report in the run directory."""
    from shepherd.config import load_config
    from shepherd.progress import RunProgress
    from shepherd.report.terminal import print_summary
    from shepherd.runs import run as run_config

    resolved = load_config(config, overrides or ())
    with RunProgress(out, resolved.run.name) as progress:
        finished = run_config(resolved, resume=resume, observers=[progress])
    if _TALKS:
        print_summary(finished.record, out)


@app.command()
def presets(
    name: Annotated[str | None, typer.Argument(help="Print this preset; list them all without it.")] = None,
) -> None:
    """List the presets, or print one with its comments."""
    from shepherd.config import preset_names, preset_text

    if name is None:
        for known in preset_names():
            first = preset_text(known).splitlines()[0].lstrip("# ")
            out.print(f"[bold]{known}[/bold]  {first}", highlight=False, soft_wrap=True)
    elif out.is_terminal:
        out.print(Syntax(preset_text(name), "yaml", background_color="default", word_wrap=True))
    else:
        sys.stdout.write(preset_text(name))


@app.command()
def allocate(config: ConfigArgument, overrides: Overrides = None) -> None:
    """Deal the instructions to clients; writes their files, a table and the picture of heterogeneity."""
    from shepherd.allocate import allocate as write_allocation
    from shepherd.config import load_config
    from shepherd.report.heterogeneity_table import heterogeneity_table

    found, folder = write_allocation(load_config(config, overrides or ()))
    out.print(heterogeneity_table(found))
    out.print(f"Clients, table and picture are in {folder}", highlight=False, soft_wrap=True)


@app.command()
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
) -> None:
    """Run the untuned base, single clients and centralised tuning on the federated run's budget.

    The federated run is completed first if it is not there yet. What is done is not done again.
    """
    from shepherd.baselines import run_baselines
    from shepherd.config import load_config
    from shepherd.progress import RunProgress
    from shepherd.report.record import read_record
    from shepherd.report.terminal import print_summary

    names = [name.strip() for name in clients.split(",")] if clients else None
    resolved = load_config(config, overrides or ())
    run_baselines(resolved, names, alone, budget, lambda label: RunProgress(out, label))
    print_summary(read_record(resolved.run.directory), out)
    compare([resolved.run.directory])


@app.command()
def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN…", help="Run directories; the first is the reference.")
    ],
    form: Annotated[str, typer.Option("--format", help="table, markdown or csv.")] = "table",
    over_seeds: Annotated[
        bool, typer.Option("--over-seeds", help="Means and spreads over runs that differ in their seed only.")
    ] = False,
    figure: Annotated[
        Path | None, typer.Option(help="With --over-seeds: where to draw every seed, as .png or .svg.")
    ] = None,
) -> None:
    """Compare runs, and their baselines, on the same hold-out."""
    if form not in ("table", "markdown", "csv"):
        raise ShepherdError(f"--format is '{form}'; use table, markdown or csv.")
    if over_seeds:
        _compare_over_seeds(runs, form, figure)
    elif figure is not None:
        raise ShepherdError("--figure draws a comparison over seeds; add --over-seeds.")
    else:
        _compare_runs(runs, form)


def _compare_runs(runs: list[Path], form: str) -> None:
    from shepherd.report.comparison import compare as compare_records
    from shepherd.report.comparison_table import category_table, comparison_table, to_csv, to_markdown
    from shepherd.report.record import read_record

    records = [read_record(path) for path in runs]
    comparison = compare_records([r for record in records for r in (record, *record.baselines())])
    if form == "markdown":
        sys.stdout.write(to_markdown(comparison))
    elif form == "csv":
        sys.stdout.write(to_csv(comparison))
    else:
        out.print(comparison_table(comparison))
        out.print(category_table(comparison))
        if comparison.has_rouge:
            out.print(category_table(comparison, "rouge_l"))


def _compare_over_seeds(runs: list[Path], form: str, figure: Path | None) -> None:
    from shepherd.report import seeds
    from shepherd.report.record import read_record

    records = [read_record(path) for path in runs]
    comparison = seeds.compare_over_seeds([r for record in records for r in (record, *record.baselines())])
    if figure is not None:
        from shepherd.report.seeds_figure import write_seeds_figure  # a table needs no matplotlib

        write_seeds_figure(comparison, figure)
    if form == "markdown":
        sys.stdout.write(seeds.to_markdown(comparison))
    elif form == "csv":
        sys.stdout.write(seeds.to_csv(comparison))
    else:
        for table in seeds.terminal_tables(comparison):
            out.print(table)


@app.command()
def generate(
    run: RunArgument,
    prompt: Annotated[list[str], typer.Option(help="An instruction; may be given several times.")],
    context: Annotated[str, typer.Option(help="The instructions' input.")] = "",
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 128,
) -> None:
    """Answer instructions with the tuned adapter, beside the untuned base."""
    from rich.table import Table
    from rich.text import Text

    from shepherd.generate import side_by_side
    from shepherd.runs import load_run

    table = Table("instruction", "base", "federated", show_lines=True)
    for answer in side_by_side(load_run(run), prompt, context, max_new_tokens):
        table.add_row(*map(Text, answer))
    out.print(table)


@app.command()
def export(
    run: RunArgument,
    merged: Annotated[Path, typer.Option(help="Where to write base and adapter merged into one model.")],
) -> None:
    """Merge the adapter into its base: a plain Hugging Face model directory."""
    from shepherd.export import export_merged
    from shepherd.runs import load_run

    export_merged(load_run(run), merged)
    out.print(f"The merged model is in {merged}", highlight=False, soft_wrap=True)


@app.command()
def report(run: RunArgument) -> None:
    """Write report.html anew, baselines included."""
    from shepherd.report.html import write_report

    out.print(f"The report is {write_report(run)}", highlight=False, soft_wrap=True)


class _Warnings(logging.Handler):
    """Writes to whatever standard error is now: while a live table is drawn, that is a line above it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        print(self.format(record), file=sys.stderr)


_STOPPED = "Stopped. Every committed round is kept; go on with: shepherd run … --resume"


def main() -> None:
    """Run the command line; see the module for its exit codes."""
    level = logging.WARNING if _TALKS else logging.ERROR
    logging.basicConfig(format="%(levelname)s: %(message)s", level=level, handlers=[_Warnings()])
    try:
        app()
    except ShepherdError as error:
        _stop(str(error), 2)
    except KeyboardInterrupt:
        _stop(_STOPPED, 130)
    except SystemExit as end:
        if end.code != 130:  # typer's way of passing a Ctrl-C on
            raise
        _stop(_STOPPED, 130)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _stop("The disk is full; free some space and go on with --resume. Every committed round is kept.", 2)


def _stop(sentence: str, code: int) -> None:
    err.print(f"shepherd: {sentence}", style="red", highlight=False, markup=False, soft_wrap=True)
    raise SystemExit(code)
