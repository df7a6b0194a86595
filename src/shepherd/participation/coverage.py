"""A cohort that holds the categories in the right shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from shepherd.errors import ShepherdError
from shepherd.participation.base import Candidates
from shepherd.participation.drawn_first import DrawnFirst
from shepherd.randomness import generator
from shepherd.tree import Tree

_MEASURED_IN_FULL = 10_000  # clients; of more, so many evenly spread ones are measured:
_SAMPLE = 1_000


class Coverage(DrawnFirst):
    """Of some clients drawn at random, those whose examples together are closest to the whole's categories.

    Greedily: the next client is the one after which the total variation distance of the cohort's shares of the
    categories to those wanted is least, the first by number among equals. Towards uniform shares this is the aim of
    Fed-CBS (arXiv 2209.15245). The server learns every client's category counts.

    Attributes
    ----------
    towards : str
        ``population``: the categories' shares of everybody's examples. ``uniform``: the same of each category.
    drawn : int, optional
        How many are drawn, from the cohort's size upwards: the more, the closer, and the more often the same clients.
        Unless told three times the cohort, but no more than halfway to everybody.
    """

    name: str = "coverage"
    towards: Literal["population", "uniform"] = "population"

    @property
    def asks_categories(self) -> bool:
        """Whether it needs to know categories: nothing else."""
        return True

    def select(self, candidates: Candidates, state: Tree) -> list[int]:
        """Put the cohort together, in ascending order of client number."""
        if candidates.categories is None:
            raise ShepherdError(
                "participation.name=coverage needs to know the categories of every client's examples, and here nobody "
                "tells them; use participation.name=random, weighted or divfl."
            )
        target = _shares_wanted(candidates.categories, self.towards)
        count = self.invited(candidates)
        draw = generator(candidates.seed, "participation", candidates.round)
        able = len(candidates.pool)
        usual = min(3 * count, (count + able + 1) // 2)
        places = draw.choice(able, self.drawing(candidates, count, usual), replace=False)
        drawn = sorted(int(candidates.pool[place]) for place in places)
        held = np.array(
            [[candidates.categories[client].get(name, 0) for name in target] for client in drawn], dtype=float
        )
        chosen = _closest(held, np.array(list(target.values())), count)
        return sorted(drawn[place] for place in chosen)


def _shares_wanted(categories: Sequence[Mapping[str, int]], towards: str) -> dict[str, float]:
    """Return the share each category is to have, by name; of very many clients, a sample's."""
    clients = len(categories)
    measured = clients if clients <= _MEASURED_IN_FULL else _SAMPLE
    totals: dict[str, int] = {}
    for client in np.linspace(0, clients - 1, measured).astype(int):
        for name, count in categories[int(client)].items():
            totals[name] = totals.get(name, 0) + count
    whole = sum(totals.values())
    even = towards == "uniform"
    return {name: 1 / len(totals) if even else totals[name] / whole for name in sorted(totals)}


def _closest(held: np.ndarray, target: np.ndarray, count: int) -> list[int]:
    """Choose so many rows of `held` [clients, categories], each the one that brings their sum's shares closest."""
    together, chosen = np.zeros(held.shape[1]), list[int]()
    free = np.ones(len(held), dtype=bool)
    for _ in range(count):
        sums = together + held
        shares = sums / np.maximum(sums.sum(axis=1, keepdims=True), 1)
        distances = np.where(free, np.abs(shares - target).sum(axis=1), np.inf)
        best = int(distances.argmin())
        together, free[best] = sums[best], False
        chosen.append(best)
    return chosen
