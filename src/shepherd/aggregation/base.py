"""What every aggregation is: FedIT's fourth component, a fold over the cohort's updates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from shepherd.messages import ClientUpdate
from shepherd.model.adapter import Adapter
from shepherd.strategy import Strategy


class Aggregation(Strategy):
    """Model aggregation (arXiv 2305.05644, section 3.4), in four pure steps.

    Updates arrive one at a time and need not be kept: memory does not grow with the cohort.

    Attributes
    ----------
    additive : bool
        Whether an accumulator is a dataclass of tensors and numbers that add up: the sums over two halves of
        a cohort make the whole's. Several processes then exchange sums instead of every update.
    """

    additive: ClassVar[bool] = False

    def init(self, adapter: Adapter) -> Mapping[str, Any]:
        """Return the state the rule carries between rounds; empty if it carries none."""
        return {}

    def start(self, adapter: Adapter) -> Any:
        """Return the empty accumulator of a round."""
        raise NotImplementedError

    def accumulate(self, accumulator: Any, update: ClientUpdate) -> Any:
        """Return the accumulator with one more client's update in it; the one that was given is used up."""
        raise NotImplementedError

    def finish(
        self, adapter: Adapter, accumulator: Any, state: Mapping[str, Any]
    ) -> tuple[Adapter, Mapping[str, Any]]:
        """Return the aggregated update and the new state.

        Parameters
        ----------
        adapter : Adapter
            The global adapter the round began with.
        accumulator
            Everything the round's clients sent.
        state : mapping
            The state before the round.
        """
        raise NotImplementedError
