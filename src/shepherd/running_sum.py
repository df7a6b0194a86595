"""A weighted sum of many vectors, taken a few at a time so that it is read and written less often than they are."""

from __future__ import annotations

from typing import Self

import torch

from shepherd.vectors import SUMMED_PART, part_by_part

_WAITING_BYTES = 1 << 30
_MOST_WAITING = 64


class RunningSum:
    """``sum_k w_k v_k`` of float32 vectors, in float64 so that many small ones are not lost.

    The total is larger than any of the vectors, and too large for the cache: to add one costs five times the traffic
    of reading it. So vectors wait until there are some, at most 1 GiB or two of them, and are then added part by
    part, each part of the total while it is in the cache. The order of additions, and so every bit of the sum, is that
    of adding them one at a time.

    Parameters
    ----------
    total : torch.Tensor
        What the sum begins with, float64 [length]; it is added to in place.
    """

    def __init__(self, total: torch.Tensor) -> None:
        self._total = total
        self._waiting: list[tuple[torch.Tensor, float]] = []
        self._most = max(2, min(_MOST_WAITING, _WAITING_BYTES // max(1, 4 * len(total))))

    @classmethod
    def zeros(cls, length: int) -> Self:
        """Return an empty sum of vectors of `length`."""
        return cls(torch.zeros(length, dtype=torch.float64))

    def add(self, vector: torch.Tensor, weight: float) -> None:
        """Add ``weight`` times a vector, float32 [length], which must stay as it is until the sum is read."""
        self._waiting.append((vector, weight))
        if len(self._waiting) == self._most:
            self._settle()

    @property
    def value(self) -> torch.Tensor:
        """The sum so far, float64 [length]; later additions change it."""
        self._settle()
        return self._total

    def over(self, divisor: float) -> torch.Tensor:
        """Return the sum so far divided by a number, float32 [length]."""
        (found,) = part_by_part(lambda total: (total / divisor,), self.value)
        return found

    def _settle(self) -> None:
        if not self._waiting:
            return
        # Widened in one place that stays in the cache: torch would take a new one for each part.
        wide = torch.empty(min(SUMMED_PART, len(self._total)), dtype=torch.float64)
        weights = [weight for _, weight in self._waiting]
        vectors = [vector.split(SUMMED_PART) for vector, _ in self._waiting]
        for whole, *parts in zip(self._total.split(SUMMED_PART), *vectors, strict=True):
            room = wide[: len(whole)]
            for part, weight in zip(parts, weights, strict=True):
                whole.add_(room.copy_(part), alpha=weight)
        self._waiting.clear()
