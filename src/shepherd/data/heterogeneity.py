"""How different the clients are: who holds which categories, and how far each is from the whole."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from shepherd.data.allocation.base import Allocated
from shepherd.errors import ShepherdError
from shepherd.settings import nearest

_MEASURED_IN_FULL = 10_000  # clients
_SAMPLE = 1_000


def _p_log_ratio(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return sum p ln(p / q) over the last axis, with 0 ln 0 = 0."""
    ratio = np.divide(p, q, out=np.ones(np.broadcast_shapes(p.shape, q.shape)), where=p > 0)
    return np.sum(p * np.log(ratio), axis=-1)


def _entropy(p: np.ndarray) -> np.ndarray:
    """Return the Shannon entropy in nats over the last axis."""
    return np.maximum(-_p_log_ratio(p, np.ones_like(p)), 0.0)


def _gini(sizes: np.ndarray) -> float:
    """Return the Gini coefficient: 0 for equal sizes, towards 1 when one client holds everything."""
    ascending = np.sort(sizes).astype(np.float64)
    ranks = np.arange(1, len(ascending) + 1)
    return float(np.sum((2 * ranks - len(ascending) - 1) * ascending) / (len(ascending) * ascending.sum()))


@dataclass(frozen=True, eq=False)
class Heterogeneity:
    """The category counts of every client, and what follows from them.

    Entropies and divergences are in nats. The whole is everything that was dealt to clients.

    Attributes
    ----------
    names : list of str
        The clients.
    categories : list of str
        The category names, sorted.
    counts : ndarray of int64, shape (clients, categories)
        Examples of each category at each client.
    population : int
        How many clients there are; more than are here if these are a sample.
    """

    names: list[str]
    categories: list[str]
    counts: np.ndarray
    population: int

    @property
    def sampled(self) -> bool:
        """Whether the clients here are a sample of a larger population."""
        return len(self.names) < self.population

    @cached_property
    def whole(self) -> np.ndarray:
        """Examples of each category over all clients measured, shape (categories,)."""
        return self.counts.sum(axis=0)

    @cached_property
    def examples(self) -> np.ndarray:
        """Examples each client holds, shape (clients,)."""
        return self.counts.sum(axis=1)

    @cached_property
    def classes(self) -> np.ndarray:
        """Distinct categories at each client, shape (clients,)."""
        return np.count_nonzero(self.counts, axis=1)

    @cached_property
    def shares(self) -> np.ndarray:
        """Each client's category distribution, shape (clients, categories), rows sum to 1."""
        return self.counts / self.examples[:, None]

    @cached_property
    def whole_shares(self) -> np.ndarray:
        """The category distribution of the whole, shape (categories,)."""
        return self.whole / self.whole.sum()

    @cached_property
    def entropy(self) -> np.ndarray:
        """Entropy of each client's category distribution in nats, shape (clients,)."""
        return _entropy(self.shares)

    @cached_property
    def divergence(self) -> np.ndarray:
        """Jensen-Shannon divergence of each client to the whole: nats in [0, ln 2], shape (clients,)."""
        p, q = self.shares, self.whole_shares
        middle = (p + q) / 2
        both = _p_log_ratio(p, middle) + _p_log_ratio(np.broadcast_to(q, p.shape), middle)
        return np.clip(both / 2, 0.0, np.log(2))

    def specialist(self, categories: Sequence[str], others: Collection[str] = ()) -> str:
        """Return the client that holds little else than these categories, and all of them.

        FedIT's single clients are such (arXiv 2305.05644, table 3: one with brainstorming only, one with closed
        question answering, one with classification and brainstorming).

        Parameters
        ----------
        categories : sequence of str
            What it is to hold. The smallest of their shares of its examples counts: 1 / len(categories) at most.
        others : collection of str
            Clients that are not to be returned.

        Raises
        ------
        ShepherdError
            If there is no such category, or no client that holds them all.
        """
        for category in categories:
            if category not in self.categories:
                raise ShepherdError(
                    f"No client holds the category '{category}'{nearest(category, self.categories)}."
                )
        columns = [self.categories.index(category) for category in categories]
        least = self.shares[:, columns].min(axis=1)
        least[[i for i, name in enumerate(self.names) if name in others]] = 0.0
        found = int(np.argmax(least))
        if least[found] == 0:
            raise ShepherdError(f"No client that is left holds all of: {', '.join(categories)}.")
        return self.names[found]

    @cached_property
    def summary(self) -> dict[str, int | float]:
        """The whole population in a dozen figures; units are in the names."""
        sizes = self.examples
        return {
            "clients": self.population,
            "clients_measured": len(self.names),
            "examples": int(sizes.sum()),
            "categories": len(self.categories),
            "examples_min": int(sizes.min()),
            "examples_median": float(np.median(sizes)),
            "examples_max": int(sizes.max()),
            "examples_cv": float(sizes.std() / sizes.mean()),
            "examples_gini": _gini(sizes),
            "classes_min": int(self.classes.min()),
            "classes_median": float(np.median(self.classes)),
            "classes_max": int(self.classes.max()),
            "entropy_mean_nats": float(self.entropy.mean()),
            "entropy_whole_nats": float(_entropy(self.whole_shares)),
            "jensen_shannon_mean_nats": float(self.divergence.mean()),
            "jensen_shannon_max_nats": float(self.divergence.max()),
        }

    def _named(self, counts: np.ndarray) -> dict[str, int]:
        return {self.categories[k]: int(counts[k]) for k in np.flatnonzero(counts)}

    def _client(self, i: int) -> dict[str, Any]:
        return {
            "name": self.names[i],
            "examples": int(self.examples[i]),
            "classes": int(self.classes[i]),
            "entropy_nats": float(self.entropy[i]),
            "jensen_shannon_nats": float(self.divergence[i]),
            "counts": self._named(self.counts[i]),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values; categories a client lacks are left out of its counts."""
        return {
            "summary": dict(self.summary),
            "whole": self._named(self.whole),
            "clients": [self._client(i) for i in range(len(self.names))],
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Heterogeneity:
        """Rebuild from `to_dict`; only names and counts are read, the rest follows from them.

        Raises
        ------
        ShepherdError
            If `value` is not what `to_dict` writes.
        """
        try:
            names = [str(client["name"]) for client in value["clients"]]
            population = int(value.get("summary", {}).get("clients", len(names)))
            categories = sorted(value["whole"])
            column = {category: k for k, category in enumerate(categories)}
            counts = np.zeros((len(names), len(categories)), dtype=np.int64)
            for i, client in enumerate(value["clients"]):
                for category, count in client["counts"].items():
                    counts[i, column[category]] = count
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ShepherdError(
                f"The heterogeneity record is damaged ({type(error).__name__}: {error}); compute it again."
            ) from error
        return _checked(cls(names, categories, counts, population))


def _checked(found: Heterogeneity) -> Heterogeneity:
    """Refuse a population without clients, or a client without examples: its distribution is undefined."""
    if not found.names:
        raise ShepherdError("There are no clients to compare; allocate at least one.")
    if (found.counts < 0).any() or not found.examples.all():
        client = int(np.argmin(np.where((found.counts < 0).any(axis=1), -1, found.examples)))
        raise ShepherdError(
            f"Client '{found.names[client]}' holds no examples, so it has no category distribution; "
            "leave it out of the allocation."
        )
    return found


def heterogeneity(allocated: Allocated, categories: np.ndarray) -> Heterogeneity:
    """Measure how the categories are spread over the clients.

    Parameters
    ----------
    allocated : Allocated
        The rows each client holds.
    categories : ndarray of str, shape (rows,)
        The category of every training instruction.

    Raises
    ------
    ShepherdError
        If there are no clients, or a client holds no rows.

    Notes
    -----
    The picture FedIT draws in its Fig. 2 (arXiv 2305.05644), in numbers. Of more than 10,000 clients, 1,000
    evenly spread ones are measured.
    """
    population = len(allocated.names)
    if population > _MEASURED_IN_FULL:
        allocated = allocated.part(np.linspace(0, population - 1, _SAMPLE).astype(int).tolist())
    names, codes = np.unique(categories, return_inverse=True)
    sizes = [len(rows) for rows in allocated.rows]
    owners = np.repeat(np.arange(len(sizes)), sizes)
    rows = np.concatenate([*allocated.rows, np.empty(0, dtype=np.int64)]).astype(np.int64)
    cells = np.bincount(owners * len(names) + codes[rows], minlength=len(sizes) * len(names))
    counts = cells.reshape(len(sizes), len(names))
    held = counts.any(axis=0)
    held_names = [str(name) for name in names[held]]
    return _checked(Heterogeneity(list(allocated.names), held_names, counts[:, held], population))
