"""Draws of clients by weight."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def drawn_by_weight(
    draw: np.random.Generator, clients: Sequence[int], weights: Sequence[float], count: int
) -> list[int]:
    """Draw clients one after another, without repetition, each with a chance in proportion to its weight.

    Parameters
    ----------
    draw : numpy.random.Generator
        The randomness of the draw.
    clients : sequence of int
        Whom to draw from.
    weights : sequence of float, [clients]
        Not negative; who has none is drawn last.
    count : int
        How many, at most as many as there are.

    Returns
    -------
    list of int
        In the order in which they are drawn.
    """
    # An exponential race: the first to arrive, at rates in proportion to the weights, then the next, …
    with np.errstate(divide="ignore", over="ignore"):
        arrivals = draw.standard_exponential(len(clients)) / np.asarray(weights, dtype=np.float64)
    return [int(clients[place]) for place in np.argsort(arrivals, kind="stable")[:count]]
