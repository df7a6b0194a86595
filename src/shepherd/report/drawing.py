"""A figure as a piece of a page: inline SVG, or a PNG where that is smaller; nothing is fetched. Or as a file."""

from __future__ import annotations

import base64
import io
import re
import warnings
from pathlib import Path
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from shepherd.errors import ShepherdError
from shepherd.files import write_atomically

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: selectable, searchable, and set in the reader's fonts
    "svg.hashsalt": "shepherd",  # the same figure gives the same bytes
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
}
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
_PNG_DPI = 150


def drawn(figure: Figure, name: str, description: str) -> Markup:
    """Return a figure as safe markup.

    Parameters
    ----------
    figure : Figure
        The picture.
    name : str
        A word unique on the page; it keeps the identifiers of one SVG apart from those of another.
    description : str
        What the picture shows, for those who do not see it.
    """
    svg = _svg(figure, name, description)
    # A PNG grows by a third when it is written as text. Its bytes matter only once the SVG is large.
    if len(svg) < 200_000:
        return svg
    png = _png(figure, description)
    return svg if len(svg) <= len(png) else png


def _svg(figure: Figure, name: str, description: str) -> Markup:
    content = _saved(figure, "svg", metadata=_NO_METADATA).decode()
    content = content[content.index("<svg") :]
    content = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", content, flags=re.DOTALL)
    content = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", content)
    head = f'<svg role="img" aria-label="{escape(description)}" '
    view = re.search(r'viewBox="[^"]*"', content)
    return Markup(f"{head}{view.group() if view else ''} " + _without_size(content))


def _without_size(content: str) -> str:
    """Return the SVG behind its opening words, the namespaces kept and the fixed size left to the page."""
    opening, rest = content.removeprefix("<svg").split(">", 1)
    return " ".join(re.findall(r'xmlns[:\w]*="[^"]*"', opening)) + ">" + rest


def _png(figure: Figure, description: str) -> Markup:
    data = base64.b64encode(_saved(figure, "png", dpi=_PNG_DPI)).decode()
    return Markup(f'<img alt="{escape(description)}" src="data:image/png;base64,{data}">')


def _saved(figure: Figure, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        # Names in any script are welcome; the reader's browser has the glyphs this machine may lack.
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*")
        figure.savefig(stream, format=form, **options)  # type: ignore[arg-type]
    return stream.getvalue()


def write_figure(figure: Figure, path: Path) -> None:
    """Write a picture as PNG or SVG, by the ending of `path`; any other is refused."""
    form = path.suffix.lower()[1:]
    if form not in ("png", "svg"):
        raise ShepherdError(f"No picture is written as '{path}'; give a name that ends in .png or .svg.")
    picture = io.BytesIO()
    figure.savefig(picture, format=form, dpi=150)
    write_atomically(path, picture.getvalue())
