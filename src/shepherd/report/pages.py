"""Pages: a template filled in, with everything that comes from outside shown as text."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from shepherd.units import count, duration, fixed, percent, size, whole


def page(template: str, **content: Any) -> bytes:
    """Return a page of one of the templates beside this file, in UTF-8.

    A lone half of a character pair is legal JSON but no text: it is shown as a question mark.
    """
    environment = Environment(
        loader=PackageLoader("shepherd", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        fixed=fixed, percent=percent, size=size, duration=duration, count=count, whole=whole
    )
    return environment.get_template(template).render(**content).encode("utf-8", "replace")
