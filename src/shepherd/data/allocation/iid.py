"""The control: every client's instructions are a fair sample of the whole."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from shepherd.data.allocation.base import Allocated, Allocation
from shepherd.data.allocation.dealing import numbered, refuse_too_few_rows
from shepherd.data.instructions import Instructions
from shepherd.randomness import generator


class Iid(Allocation):
    """Shuffle the instructions and deal them out evenly; sizes differ by at most one row.

    Source: McMahan et al. 2017 (arXiv 1602.05629, section 3, "IID").

    Attributes
    ----------
    clients : int
        Number of clients.
    """

    name: str = "iid"
    clients: int = Field(10, gt=0)

    def allocate(self, instructions: Instructions, seed: int) -> Allocated:
        """Deal evenly; see `Allocation.allocate`."""
        refuse_too_few_rows(instructions, self.clients, f"{self.clients:,} clients", "ask for fewer clients")
        rows = generator(seed, "allocation").permutation(len(instructions))
        return numbered(np.array_split(rows, self.clients))
