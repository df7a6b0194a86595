"""Whether what sites are sent fits into a message, which is asked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shepherd.deploy import wire
from shepherd.errors import ShepherdError
from shepherd.tree import most_bytes

#: Of the parts of a question that grow: what each is, and what makes it smaller.
_PARTS = {
    "residual": (
        "what aggregation.name={rule} adds to the base's weights",
        "aggregation.name=flexlora or fedavg, which add nothing to them, or with a smaller adapter.rank",
    ),
    "told": (
        "what aggregation.name={rule} tells sites beside the adapter",
        "aggregation.name=fedavg, which tells them nothing, or with a smaller adapter, e.g. a lower adapter.rank",
    ),
    "choice": (
        "what coreset.name={coreset} tells a site of its choice",
        "another coreset",
    ),
}


def check_fits(body: Mapping[str, Any], round: int, config: Mapping[str, Any]) -> None:
    """Refuse to send sites more than they read.

    Parameters
    ----------
    body : mapping of str to object
        What is to be sent, or its parts ``residual``, ``told`` and ``choice`` as far as they are known.
    round : int
        In which round, from 1; for the sentence.
    config : mapping of str to object
        What sites are told of the config.

    Raises
    ------
    ShepherdError
        Saying which part is how large, what the bound is, and what makes it smaller.
    """
    if most_bytes(body) <= wire.LARGEST_BODY:
        return
    sizes = {part: most_bytes({part: body.get(part)}) for part in _PARTS}
    largest = max(sizes, key=lambda part: sizes[part])
    what, instead = _PARTS[largest]
    names = {"rule": config["aggregation"]["name"], "coreset": config["coreset"]["name"]}
    raise ShepherdError(
        f"In round {round}, {what.format(**names)} has {sizes[largest]:,} bytes, and a site reads a message of at most "
        f"{wire.LARGEST_BODY:,}; begin a run with {instead}. Every committed round is kept."
    )
