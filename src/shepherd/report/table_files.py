"""Tables as whoever asked wants them: text, Markdown, CSV, LaTeX or a page; on the terminal or in a file.

It knows forms and endings, not what the tables are about.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from shepherd.errors import ShepherdError
from shepherd.files import write_atomically
from shepherd.report.grid import grid, plain_words
from shepherd.report.latex import latex
from shepherd.report.tables import markdown

if TYPE_CHECKING:
    from markupsafe import Markup

FORMS = ("table", "markdown", "csv", "latex", "html")
_ENDINGS = {
    ".txt": "table",
    ".md": "markdown",
    ".csv": "csv",
    ".tex": "latex",
    ".html": "html",
    ".htm": "html",
}
_WIDTH = 100  # columns of a text file


@dataclass(frozen=True)
class Document:
    """What is to be written.

    Attributes
    ----------
    title : str
        The heading of a page.
    tables : list of Table
        The tables, in full.
    csv : str
        The same figures unrounded.
    pictures : sequence of Markup
        What a page shows above the tables; other forms have no pictures.
    """

    title: str
    tables: list[Table]
    csv: str
    pictures: Sequence[Markup] = ()

    def written(self, form: str) -> str:
        """Return the document in one of `FORMS`."""
        if form == "markdown":
            return markdown(*self.tables)
        if form == "csv":
            return self.csv
        if form == "latex":
            return latex(self.tables)
        return self._page() if form == "html" else self._text()

    def _text(self) -> str:
        console = Console(width=_WIDTH, file=io.StringIO(), record=True)
        console.print(*self.tables)
        return "\n".join(line.rstrip() for line in console.export_text().splitlines()) + "\n"

    def _page(self) -> str:
        """Return one HTML file that needs no network, no script and no other file."""
        from shepherd.report.pages import page

        tables = [(plain_words(table.title), grid(table)) for table in self.tables]
        return page("tables.html.j2", title=self.title, tables=tables, pictures=self.pictures).decode()


def form_of(form: str | None, output: Path | None) -> str:
    """Return the form that is meant: the one that is named, else by the file's ending, else a table.

    Raises
    ------
    ShepherdError
        If there is no such form, or the ending says none.
    """
    if form is not None:
        if form not in FORMS:
            raise ShepherdError(f"--format is '{form}'; use {', '.join(FORMS[:-1])} or {FORMS[-1]}.")
        return form
    if output is None:
        return FORMS[0]
    if output.suffix.lower() not in _ENDINGS:
        raise ShepherdError(
            f"The ending of '{output}' names no form; end it in {', '.join(_ENDINGS)}, or add --format."
        )
    return _ENDINGS[output.suffix.lower()]


def write_document(document: Document, form: str, path: Path) -> None:
    """Write a document in one of `FORMS`; the file is whole or not there."""
    # A lone half of a character pair is legal in a name but no text: it is written as a question mark.
    write_atomically(path, document.written(form).encode("utf-8", "replace"))
