"""What every client data allocation is: a rule that deals row numbers to clients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar, overload

import numpy as np

from shepherd.data.instructions import Instructions
from shepherd.errors import ShepherdError
from shepherd.settings import nearest
from shepherd.strategy import Strategy

T = TypeVar("T")


class OnDemand(Sequence[T]):
    """A sequence whose items are made when they are asked for, and kept by nobody.

    Parameters
    ----------
    length : int
        Number of items.
    make : callable
        Makes the item at an index in [0, length).
    """

    def __init__(self, length: int, make: Callable[[int], T]) -> None:
        self._length = length
        self._make = make

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> OnDemand[T]: ...
    def __getitem__(self, index: int | slice) -> T | OnDemand[T]:
        if isinstance(index, slice):
            part = range(self._length)[index]
            return OnDemand(len(part), lambda i: self._make(part[i]))
        return self._make(range(self._length)[index])


@dataclass(frozen=True)
class Allocated:
    """The outcome of an allocation.

    Attributes
    ----------
    names : sequence of str
        One name per client, unique.
    rows : sequence of ndarray of int64
        Per client, the row numbers (into the training instructions) it holds, in its own order.
    drawn_sizes : sequence of int, optional
        How many rows each client holds, where `rows` are made on demand: the population is implicit.
    """

    names: Sequence[str]
    rows: Sequence[np.ndarray]
    drawn_sizes: Sequence[int] | None = None

    @cached_property
    def sizes(self) -> Sequence[int]:
        """How many rows each client holds."""
        return [len(rows) for rows in self.rows] if self.drawn_sizes is None else self.drawn_sizes

    def number_of(self, name: str) -> int:
        """Return the number of the client called `name`.

        Parameters
        ----------
        name : str
            One of `names`.

        Raises
        ------
        ShepherdError
            If there is none, naming the nearest; of very many clients, the nearest of the first ten thousand.
        """
        if name not in self.names:
            raise ShepherdError(f"There is no client '{name}'{nearest(name, list(self.names[:10_000]))}.")
        return self.names.index(name)

    def part(self, clients: Sequence[int]) -> Allocated:
        """Return some clients only, by number."""
        return Allocated(
            [self.names[client] for client in clients], [self.rows[client] for client in clients]
        )


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
