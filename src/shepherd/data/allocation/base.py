"""What every client data allocation is: a rule that deals row numbers to clients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shepherd.data.instructions import Instructions
from shepherd.strategy import Strategy


@dataclass(frozen=True)
class Allocated:
    """The outcome of an allocation.

    Attributes
    ----------
    names : list of str
        One name per client, unique.
    rows : list of ndarray of int64
        Per client, the row numbers (into the training instructions) it holds, in its own order.
    """

    names: list[str]
    rows: list[np.ndarray]


class Allocation(Strategy):
    """FedIT's first component, client data allocation (arXiv 2305.05644, section 3.1)."""

    def allocate(self, instructions: Instructions, seed: int) -> Allocated:
        """Deal the instructions to clients.

        Parameters
        ----------
        instructions : Instructions
            The training instructions (the hold-out is already taken away).
        seed : int
            The run's seed.

        Raises
        ------
        ShepherdError
            If the request is infeasible, saying why and what to change.
        """
        raise NotImplementedError
