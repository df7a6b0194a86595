"""`shepherd compare`: runs beside each other, or methods over seeds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shepherd.cli import terminal
from shepherd.cli.options import FormOption, OutputOption
from shepherd.cli.showing import refuse_other_pictures, say_beside, show

if TYPE_CHECKING:
    from markupsafe import Markup
    from rich.table import Table

    from shepherd.report.record import Record
    from shepherd.report.table_files import Document


@terminal.app.command()
def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN…",
            help="Run directories, or folders of them such as a sweep's; the first is the reference.",
        ),
    ],
    form: FormOption = None,
    seeds: Annotated[
        bool,
        typer.Option(
            "--seeds",
            help="Runs that differ in their seed only are one method: means, spreads, paired tests.",
        ),
    ] = False,
    against: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="The reference, by its path or its name in the table."),
    ] = None,
    output: OutputOption = None,
    figure: Annotated[
        Path | None,
        typer.Option(
            help="Where to draw the loss against the bytes sent or, with --seeds, every seed: .png or .svg."
        ),
    ] = None,
) -> None:
    """Compare runs, and their baselines, on the same hold-out."""
    from shepherd.report.chosen_runs import read_runs, with_reference
    from shepherd.report.table_files import form_of

    form = form_of(form, output)
    refuse_other_pictures(figure)
    found = read_runs(runs)
    records = found.records if against is None else with_reference(found.records, against, over_seeds=seeds)
    if found.left_out:
        names = ", ".join(map(str, found.left_out))
        say_beside(form, output, f"Left out, as nothing of them is evaluated yet: {names}.")
    page = form == "html"
    shown, document = (
        _over_seeds(records, figure, page) if seeds else _beside_each_other(records, figure, page)
    )
    show(form, output, "The comparison is", lambda: shown, lambda: document)


def _beside_each_other(
    records: list[Record], figure: Path | None, page: bool
) -> tuple[list[Table], Document]:
    """Return the tables of a terminal, and the document; draws the picture where that is asked for."""
    from shepherd.report import comparison_table as tables
    from shepherd.report.comparison import compare as compare_records
    from shepherd.report.table_files import Document

    comparison = compare_records(records)
    pictures: list[Markup] = []
    if figure is not None or page:
        from shepherd.report import bytes_figure  # a table needs no matplotlib

        labels = [row.label for row in comparison.rows]
        if figure is not None:
            bytes_figure.write_bytes_figure(records, labels, figure)
        pictures = bytes_figure.bytes_pictures(records, labels) if page else []
    shown = tables.document_tables(comparison)
    return shown, Document("Runs beside each other", shown, tables.to_csv(comparison), pictures)


def _over_seeds(records: list[Record], figure: Path | None, page: bool) -> tuple[list[Table], Document]:
    """Return the tables of a terminal, and the document; draws the picture where that is asked for."""
    from shepherd.report import seeds_table as tables
    from shepherd.report.seeds import compare_over_seeds
    from shepherd.report.table_files import Document

    comparison = compare_over_seeds(records)
    pictures = []
    if figure is not None or page:
        from shepherd.report import seeds_figure  # a table needs no matplotlib

        if figure is not None:
            seeds_figure.write_seeds_figure(comparison, figure)
        pictures = [seeds_figure.seeds_picture(comparison)] if page else []
    title = "Methods beside each other"
    document = Document(title, tables.document_tables(comparison), tables.to_csv(comparison), pictures)
    return tables.terminal_tables(comparison), document
