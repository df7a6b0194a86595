"""`shepherd compare`: runs beside each other, or methods over seeds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from shepherd.cli import terminal
from shepherd.errors import ShepherdError


@terminal.app.command()
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
        terminal.out.print(comparison_table(comparison))
        terminal.out.print(category_table(comparison))
        if comparison.has_rouge:
            terminal.out.print(category_table(comparison, "rouge_l"))


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
            terminal.out.print(table)
