"""What every site draws from the run's seed by itself and is never sent: whether it is what the coordinator drew.

The same version of torch draws the same everywhere, but for the last bit, in which processors differ. So a few values
are compared as numbers; a hash would tell such sites apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from shepherd.aggregation import Aggregation
from shepherd.model.adapted import AdaptedModel
from shepherd.model.role import Role

_COMPARED = 16
#: Of the largest: far above what processors differ by, also where values are rounded to bfloat16.
_TOLERANCE = 0.01


def drawn_values(model: AdaptedModel, aggregation: Aggregation) -> list[float]:
    """Return a few of the values that a run rests on and nobody is sent, evenly spaced; none where all are sent.

    Parameters
    ----------
    model : AdaptedModel
        The base with the adapter, as this machine made it.
    aggregation : Aggregation
        Says which of the adapter's tensors stay as they were drawn.
    """
    frozen = [
        tensor.reshape(-1)
        for name, tensor in model.initial.items()
        if aggregation.role(name, 0) is Role.FROZEN
    ]
    values = torch.cat([*frozen, model.attached.drawn()])
    if len(values) == 0:
        return []
    places = [place * (len(values) - 1) // (_COMPARED - 1) for place in range(_COMPARED)]
    return [float(values[place]) for place in places]


def are_alike(values: Sequence[float], others: Sequence[float]) -> bool:
    """Say whether two machines drew the same, as far as machines can."""
    most = _TOLERANCE * max(map(abs, values), default=0.0)
    return len(values) == len(others) and all(
        abs(value - other) <= most for value, other in zip(values, others, strict=True)
    )
