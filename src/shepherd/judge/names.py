"""The names of judges, which are the names of their folders."""

from __future__ import annotations

import re

from shepherd.errors import ShepherdError

_NAME = re.compile(r"[\w+-][\w.+-]*")


def judge_name(model: str, name: str | None) -> str:
    """Return the name of a judge's folder: the one given, or the model's made fit for a file.

    Raises
    ------
    ShepherdError
        If the name given is not fit for a file.
    """
    if name is None:
        return re.sub(r"[^\w.+-]", "_", model).strip("._") or "judge"
    if not _NAME.fullmatch(name):
        raise ShepherdError(f"'{name}' cannot name a judge; use letters, digits and . _ + -")
    return name
