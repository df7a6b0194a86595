"""A sweep's results in every form that tables have: text, Markdown, CSV, LaTeX, or a page with the picture."""

from __future__ import annotations

from shepherd.report.sweep_table import SweepResults, results_csv, sweep_table
from shepherd.report.table_files import Document
from shepherd.units import fixed


def sweep_document(results: SweepResults, form: str) -> Document:
    """Return the results to be written in a form; see `table_files.write_document`.

    Parameters
    ----------
    results : SweepResults
        The finished cells.
    form : str
        One of `table_files.FORMS`; a page, ``html``, has the picture too.
    """
    pictures = []
    if form == "html":
        from shepherd.report.drawing import drawn  # brings matplotlib
        from shepherd.report.sweep_figure import sweep_figure

        pictures = [drawn(sweep_figure(results), "sweep", _said(results))]
    return Document("The sweep", [sweep_table(results)], results_csv(results), pictures)


def _said(results: SweepResults) -> str:
    """Return the picture in words."""
    losses = (
        f"{', '.join(line.values) or line.label} {fixed(line.method.loss.mean)}" for line in results.lines
    )
    return f"Final hold-out loss by {', '.join(results.keys) or 'config'}: {'; '.join(losses)}."
