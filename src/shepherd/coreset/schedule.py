"""When a client looks at its examples again."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shepherd.tree import Tree

#: Rounds after which a client chooses anew, or once and for all.
Every = Annotated[int, Field(gt=0)] | Literal["once"]


def is_stale(kept: Tree, round: int, every: Every) -> bool:
    """Say whether what a client keeps, with the ``round`` it is of, is missing or too old in a round."""
    return not kept or (every != "once" and round - int(kept["round"]) >= every)
