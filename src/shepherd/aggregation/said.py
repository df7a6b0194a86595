"""What clients say beside their updates, read as what comes from outside is read."""

from __future__ import annotations

import torch

from shepherd.errors import ShepherdError
from shepherd.model.adapter import Layout, check_vector
from shepherd.tree import Tree

#: Nats per token: a uniform guess among all tokens of the largest vocabularies is below 13.
HIGHEST_LOSS = 1000.0


def said_vector(said: Tree, name: str, layout: Layout) -> torch.Tensor:
    """Return a vector of the adapter's size that a client says.

    Parameters
    ----------
    said : Tree
        What the client says.
    name : str
        What the vector is called there.
    layout : Layout
        The adapter's.

    Raises
    ------
    ShepherdError
        If it is missing, of another shape or dtype, or not finite.
    """
    return check_vector(said.get(name), layout, f"A client's '{name}'")


def said_loss(said: Tree) -> float:
    """Return the loss of the round's adapter on a client's examples, as the client says it.

    Raises
    ------
    ShepherdError
        If it is missing, or no model has such a loss.
    """
    loss = said.get("loss")
    if isinstance(loss, bool) or not isinstance(loss, float | int) or not 0 <= loss <= HIGHEST_LOSS:
        shown = f"{loss:.3g}" if isinstance(loss, float) else "not a number"
        raise ShepherdError(
            f"A client's loss before training is {shown}, and the aggregation needs one from 0 to "
            f"{HIGHEST_LOSS:,.0f} nats; look at what the client trains on."
        )
    return float(loss)
