"""Clients the data already knows: one per value of a field, such as a user, a site or a task."""

from __future__ import annotations

import logging

import numpy as np
from pydantic import Field

from shepherd.data.allocation.base import Allocated, Allocation
from shepherd.data.allocation.dealing import one_client_per_value
from shepherd.data.instructions import Instructions
from shepherd.errors import ShepherdError
from shepherd.randomness import generator

_log = logging.getLogger(__name__)


def _values(instructions: Instructions, field: str) -> list[str | int | float]:
    """Return the field's values, refusing rows that have none."""
    values = instructions.column(field)
    for row, value in enumerate(values):
        # NaN is how a missing number arrives from Parquet and pandas.
        if not isinstance(value, str | int | float) or value == "" or value != value:
            raise ShepherdError(
                f"Row {row + 1} of {instructions.source} has {value!r:.60} as '{field}', which names no "
                "client; remove the row, fill it in, or choose another field in allocation.field."
            )
    return values


class ByField(Allocation):
    """One client per distinct value of a field, named after it, in order of first appearance.

    Clients with fewer than `min_examples` are left out, and a warning is logged that says how many.
    Natural Instructions with one task per client (FedHDS, arXiv 2410.10926, section 5) is
    ``ByField(field="category")``.

    Attributes
    ----------
    field : str
        The field whose values are the clients.
    min_examples : int
        Examples a client must hold to take part.
    fraction : float
        Share of its examples, in (0, 1], that every client keeps, drawn at random, but never fewer than
        `min_examples`; the study of FedHDS keeps a fifth.
    """

    name: str = "by_field"
    field: str = Field("category", min_length=1)
    min_examples: int = Field(1, ge=1)
    fraction: float = Field(1.0, gt=0, le=1)

    def allocate(self, instructions: Instructions, seed: int) -> Allocated:
        """Group by the field; `seed` draws what is kept. See `Allocation.allocate`."""
        found = one_client_per_value(_values(instructions, self.field))
        kept = [i for i, rows in enumerate(found.rows) if len(rows) >= self.min_examples]
        if not kept:
            largest = max((len(rows) for rows in found.rows), default=0)
            raise ShepherdError(
                f"None of the {len(found.names):,} clients by '{self.field}' in {instructions.source} holds "
                f"min_examples={self.min_examples} (the largest holds {largest:,}); lower min_examples."
            )
        self._warn_of_dropped(found, len(kept))
        return Allocated(
            [found.names[i] for i in kept], [self._drawn(found.names[i], found.rows[i], seed) for i in kept]
        )

    def _drawn(self, client: str, rows: np.ndarray, seed: int) -> np.ndarray:
        """Return the share of a client's rows that it keeps, in the file's order."""
        count = max(round(self.fraction * len(rows)), self.min_examples)
        if count >= len(rows):
            return rows
        return np.sort(generator(seed, "fraction", client).choice(rows, count, replace=False))

    def _warn_of_dropped(self, found: Allocated, kept: int) -> None:
        dropped = [len(rows) for rows in found.rows if len(rows) < self.min_examples]
        if dropped:
            message = "left out %d of %d clients by '%s' (%d examples): each holds fewer than min_examples=%d"
            _log.warning(message, len(dropped), len(found.names), self.field, sum(dropped), self.min_examples)
