"""Populations without limit: a client's instructions are drawn when it is first asked for, and forgotten again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from shepherd.data.allocation.base import Allocated, Allocation, OnDemand
from shepherd.data.allocation.dealing import category_codes, refuse_too_few_rows, warn_of_one_category
from shepherd.data.instructions import Instructions
from shepherd.randomness import generator


class Drawn(Allocation):
    """Every client's instructions are drawn from the whole, by its own category mixture, at its own address.

    Nothing is stored: client k is the same whenever it is asked for, so a million clients cost as much as a
    hundred. Two clients may hold the same instruction, one client never holds one twice. The mixtures are
    Dirichlet(alpha x the categories' shares), as in Hsu et al. (arXiv 1909.06335, section 3).

    Attributes
    ----------
    clients : int
        Number of clients.
    alpha : float, optional
        Concentration of the mixtures, > 0: towards 0 for clients of one category, large for clients like the
        whole. Without it every client is a fair sample of the whole.
    min_examples, max_examples : int
        A client's size is uniform between the two.
    """

    name: str = "drawn"
    clients: int = Field(1_000_000, gt=0)
    alpha: float | None = Field(None, gt=0)
    min_examples: int = Field(8, gt=0)
    max_examples: int = Field(32, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_examples > self.max_examples:
            raise ValueError("min_examples must not exceed max_examples")
        return self

    def allocate(self, instructions: Instructions, seed: int) -> Allocated:
        """Say how every client's rows are drawn; see `Allocation.allocate`."""
        refuse_too_few_rows(
            instructions,
            self.max_examples,
            f"clients of up to {self.max_examples:,} instructions",
            "lower allocation.max_examples",
        )
        codes = category_codes(instructions)
        if self.alpha is not None:
            warn_of_one_category(instructions, codes, self.name)
        draw = _Draw(self, seed, [np.flatnonzero(codes == code) for code in range(codes.max() + 1)])
        return Allocated(
            OnDemand(self.clients, str), OnDemand(self.clients, draw.rows), OnDemand(self.clients, draw.size)
        )


@dataclass(frozen=True)
class _Draw:
    """Draws one client at a time."""

    settings: Drawn
    seed: int
    categories: list[np.ndarray]

    def size(self, client: int) -> int:
        """Return how many examples a client holds."""
        low, high = self.settings.min_examples, self.settings.max_examples
        return int(generator(self.seed, "client size", client).integers(low, high + 1))

    def rows(self, client: int) -> np.ndarray:
        """Return a client's row numbers in the training instructions, each once, in its own order, [size]."""
        draw = generator(self.seed, "client rows", client)
        sizes = np.array([len(rows) for rows in self.categories])
        counts = self._counts(draw, self.size(client), sizes)
        chosen = [
            rows[draw.choice(len(rows), size=count, replace=False)]
            for rows, count in zip(self.categories, counts, strict=True)
        ]
        return draw.permutation(np.concatenate(chosen)).astype(np.int64)

    def _counts(self, draw: np.random.Generator, size: int, sizes: np.ndarray) -> np.ndarray:
        """Return how many of each category; what a category cannot give is taken from the others at hand."""
        if self.settings.alpha is None:
            return draw.multivariate_hypergeometric(sizes, size)
        mixture = draw.dirichlet(self.settings.alpha * sizes / sizes.sum())
        counts = np.minimum(draw.multinomial(size, mixture), sizes)
        missing = size - counts.sum()
        return counts + draw.multivariate_hypergeometric(sizes - counts, missing) if missing else counts
