"""Where tables go: into a file, onto the terminal, or to standard output in another form; and pictures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from shepherd.cli import terminal
from shepherd.errors import ShepherdError

if TYPE_CHECKING:
    from rich.table import Table

    from shepherd.report.table_files import Document

_PICTURES = (".png", ".svg")


def show(
    form: str,
    output: Path | None,
    told: str,
    tables: Callable[[], Iterable[Table]],
    document: Callable[[], Document],
) -> None:
    """Write a document to a file, or print it; only what is shown is made.

    Parameters
    ----------
    form : str
        What `shepherd.report.table_files.form_of` returned.
    output : Path, optional
        The file; standard output unless told.
    told : str
        What the file is said to hold: ``The scores are``.
    tables : callable
        Returns what a terminal shows.
    document : callable
        Returns the document for every other place and form.
    """
    if output is not None:
        from shepherd.report.table_files import write_document

        write_document(document(), form, output)
        terminal.say(f"{told} in {output}")
    elif form == "table":
        print_tables(tables())
    else:
        sys.stdout.write(document().written(form))


def say_beside(form: str, output: Path | None, sentence: str) -> None:
    """Print a sentence beside what `show` is given; a document on standard output has that to itself.

    Parameters
    ----------
    form, output
        As `show` takes them.
    sentence : str
        Printed on one line however long: on standard error where a document goes to standard output.
    """
    terminal.say(sentence, beside=form != "table" and output is None)


def print_tables(tables: Iterable[Table]) -> None:
    """Print tables, those that are too wide for the terminal in parts."""
    from shepherd.report.narrow import in_parts

    terminal.out.print(*(part for table in tables for part in in_parts(table, terminal.out)))


def refuse_other_pictures(figure: Path | None) -> None:
    """Refuse a --figure that cannot be drawn, before hours are spent on what it would show.

    Raises
    ------
    ShepherdError
        If its ending names no form of a picture.
    """
    if figure is not None and figure.suffix.lower() not in _PICTURES:
        raise ShepherdError(
            f"--figure cannot be '{figure}'; give a name that ends in {' or '.join(_PICTURES)}."
        )
