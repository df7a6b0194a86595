"""What clients count for in an average."""

from __future__ import annotations

from typing import Literal

from shepherd.aggregation.base import Aggregation
from shepherd.errors import ShepherdError
from shepherd.messages import ClientUpdate


class Weighted(Aggregation):
    """An aggregation in which client k counts p_k.

    Attributes
    ----------
    weights : str
        What p_k is proportional to: the ``examples`` the client trained on (FedIT), with repetition, so that with
        ``training.steps`` all count alike; their response ``tokens``; or nothing (``uniform``).
    """

    weights: Literal["examples", "tokens", "uniform"] = "examples"

    def weight_of(self, update: ClientUpdate) -> float:
        """Return what a client counts, before the weights are divided by their sum."""
        counts = {"examples": update.examples, "tokens": update.response_tokens, "uniform": 1}
        return counts[self.weights] * update.share


def refuse_nothing(weight: float) -> None:
    """Refuse a cohort whose weights sum to nothing."""
    if weight <= 0:
        raise ShepherdError(
            "No client of this round trained on anything, so there is nothing to average; "
            "give clients more examples or choose another participation."
        )
