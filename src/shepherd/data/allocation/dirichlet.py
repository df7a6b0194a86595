"""FedIT's scheme (b): clients whose categories and volumes both differ."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from shepherd.data.allocation.base import Allocated, Allocation
from shepherd.data.allocation.dealing import (
    category_codes,
    numbered,
    refuse_too_few_rows,
    rows_of_owners,
    warn_of_one_category,
)
from shepherd.data.instructions import Instructions
from shepherd.errors import ShepherdError
from shepherd.randomness import generator


def _split(rows: int, shares: np.ndarray, open_clients: np.ndarray) -> np.ndarray:
    """Split `rows` by `shares` among the open clients, rounding the cut points down."""
    shares = shares * open_clients
    if not shares.any():  # a tiny alpha puts all its weight on clients that are full
        shares = open_clients.astype(np.float64)
    cumulated = np.cumsum(shares)
    # Dividing by the last cut, not by 1, keeps a closed last client from receiving the rounding.
    cuts = np.floor(cumulated / cumulated[-1] * rows).astype(np.int64)
    return np.diff(cuts, prepend=0)


class Dirichlet(Allocation):
    """Deal each category by Dirichlet shares, with a cap that balances: volumes vary much.

    For each category p ~ Dirichlet(alpha · 1) over the clients; a client that already holds
    rows / clients rows takes no part; the shuffled rows are cut at floor(cumsum(p) · n). All of it is
    drawn again until every client holds `min_examples`. Only the sizes are drawn while looking.

    Source: FedIT (arXiv 2305.05644, section 3.1, second scheme; its released code, ``diff_quantity=1``),
    after Yurochkin et al. 2019 (arXiv 1905.12022).

    Attributes
    ----------
    clients : int
        Number of clients.
    alpha : float
        Concentration; smaller is more heterogeneous. FedIT releases 0.5.
    min_examples : int
        Examples every client must hold. FedIT releases 40.
    attempts : int
        Draws before the request is refused.
    """

    name: str = "dirichlet"
    clients: int = Field(10, gt=0)
    alpha: float = Field(0.5, gt=0)
    min_examples: int = Field(40, ge=1)
    attempts: int = Field(1000, gt=0)

    def allocate(self, instructions: Instructions, seed: int) -> Allocated:
        """Deal by Dirichlet shares; see `Allocation.allocate`."""
        needed = self.clients * self.min_examples
        reason = f"{self.clients:,} clients with min_examples={self.min_examples}"
        refuse_too_few_rows(instructions, needed, reason, "ask for fewer clients or min_examples")
        random = generator(seed, "allocation")
        codes = category_codes(instructions)
        warn_of_one_category(instructions, codes, self.name)
        table = self._accepted(np.bincount(codes), random)
        order = np.lexsort((random.permutation(len(codes)), codes))
        owners = np.repeat(np.tile(np.arange(self.clients), len(table)), table.ravel())
        return numbered(rows_of_owners(order, owners, self.clients))

    def _accepted(self, category_sizes: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Draw sizes, shape (categories, clients), until every client holds enough."""
        best = -1
        for _ in range(self.attempts):
            table = self._draw(category_sizes, random)
            smallest = int(table.sum(axis=0).min())
            if smallest >= self.min_examples:
                return table
            best = max(best, smallest)
        raise ShepherdError(
            f"Cannot deal {category_sizes.sum():,} instructions to {self.clients:,} clients with "
            f"min_examples={self.min_examples}: in {self.attempts:,} draws at alpha={self.alpha:g} the "
            f"smallest client held {best:,} at best; lower min_examples or clients, or raise alpha."
        )

    def _draw(self, category_sizes: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Draw once how many rows of each category each client holds."""
        concentration = np.full(self.clients, self.alpha)
        cap = category_sizes.sum() / self.clients
        table = np.zeros((len(category_sizes), self.clients), dtype=np.int64)
        held = np.zeros(self.clients, dtype=np.int64)
        for row, size in zip(table, category_sizes, strict=True):
            row[:] = _split(int(size), random.dirichlet(concentration), held < cap)
            held += row
        return table
