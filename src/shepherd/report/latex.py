"""A terminal table as LaTeX: a float with booktabs rules, the best in bold, every special character escaped."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from rich.table import Table

from shepherd.report.grid import Cell, grid, plain_words

_NEEDS = "% The document needs \\usepackage{booktabs}."
#: What LaTeX reads as its own, and signs of ours that its usual fonts lack.
_ESCAPED = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    '"': "''",
    "–": "--",
    "−": "$-$",
    "±": r"$\pm$",
    "≈": r"$\approx$",
    "×": r"$\times$",
    "…": r"\ldots{}",
    "-": "-{}",
}
# A hyphen is escaped before another one only: two would become a dash.
_SPECIAL = re.compile("-(?=-)|" + "|".join(re.escape(sign) for sign in _ESCAPED if sign != "-"))


def latex(tables: Sequence[Table]) -> str:
    """Return tables as LaTeX floats, each with a caption and a ``\\label`` made of its title (``tab:…``)."""
    return "\n".join([_NEEDS, *map(_float, tables)])


def _float(table: Table) -> str:
    page, title = grid(table), plain_words(table.title)
    caption = f"{title}. {page.caption}".strip()
    columns = "".join("r" if heading.number else "l" for heading in page.headings)
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escaped(caption)}}}",
        rf"  \label{{tab:{_slug(title)}}}",
        rf"  \begin{{tabular}}{{{columns}}}",
        r"    \toprule",
        _row(page.headings),
        r"    \midrule",
        *map(_row, page.rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[Cell]) -> str:
    text = " & ".join(map(_cell, cells))
    # After the \\ of the line before, a bracket or a star would be read as belonging to it.
    return f"    {'{}' if text.startswith(('[', '*')) else ''}{text} \\\\"


def _cell(cell: Cell) -> str:
    # A minus, but not the hyphen of 1e-5 or of a name.
    text = re.sub(r"(?<![\w.])-(?=\d)", "−", cell.text) if cell.number else cell.text
    return rf"\textbf{{{escaped(text)}}}" if cell.bold else escaped(text)


def escaped(text: str) -> str:
    """Return words that LaTeX prints as they are: its special characters escaped, on one line."""
    line = "".join(letter for letter in " ".join(text.split()) if letter.isprintable())
    return _SPECIAL.sub(lambda found: _ESCAPED[found.group()], line)  # one pass: nothing is escaped twice


def _slug(title: str) -> str:
    """Return a label: lower-case ASCII letters and digits with hyphens between the words."""
    ascii_only = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    return "-".join(re.findall(r"[a-z0-9]+", ascii_only.lower()))
