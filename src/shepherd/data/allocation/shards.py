"""FedIT's scheme (a): clients of equal volume that each hold a few categories."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from shepherd.data.allocation.base import Allocated, Allocation
from shepherd.data.allocation.dealing import (
    category_codes,
    numbered,
    refuse_too_few_rows,
    warn_of_one_category,
)
from shepherd.data.instructions import Instructions
from shepherd.randomness import generator


class Shards(Allocation):
    """Deal out shards of the category-sorted instructions: few categories, equal volume.

    The rows are sorted by category (stably) and cut into ``shards_per_client * clients`` contiguous
    shards; the shards are shuffled and each client takes the next ``shards_per_client``. Shards differ
    by at most one row, so clients differ by at most ``shards_per_client`` rows.

    Source: FedIT (arXiv 2305.05644, section 3.1, first scheme; its released code, ``diff_quantity=0``),
    after McMahan et al. 2017 (arXiv 1602.05629, section 3).

    Attributes
    ----------
    clients : int
        Number of clients.
    shards_per_client : int
        Shards each client holds; 1 is the most heterogeneous.
    """

    name: str = "shards"
    clients: int = Field(10, gt=0)
    shards_per_client: int = Field(2, gt=0)

    def allocate(self, instructions: Instructions, seed: int) -> Allocated:
        """Deal the shards; see `Allocation.allocate`."""
        shards = self.clients * self.shards_per_client
        reason = f"{self.clients:,} clients with {self.shards_per_client} shards each"
        refuse_too_few_rows(instructions, shards, reason, "ask for fewer clients or shards_per_client")
        codes = category_codes(instructions)
        warn_of_one_category(instructions, codes, self.name)
        by_category = np.argsort(codes, kind="stable")
        pieces = np.array_split(by_category, shards)
        dealt = generator(seed, "allocation").permutation(shards).reshape(self.clients, -1)
        return numbered([np.concatenate([pieces[shard] for shard in hand]) for hand in dealt])
