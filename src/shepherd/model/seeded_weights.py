"""FedKSeed's model: the base's weights plus a pool of numbers times as many random directions.

Whatever was in the weights before, a pool is always applied to the base's own, in the order of the seeds, so that the
bits depend on the pool alone. The base's own weights and those of the last pool are kept: three times its memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from shepherd.model.attached import BareBase
from shepherd.model.base import Base
from shepherd.randomness import torch_generator

if TYPE_CHECKING:
    from shepherd.model.kinds import KSeed

POOL = "kseed.pool"


class SeededWeights(BareBase):
    """A base whose weights are moved along random directions.

    Parameters
    ----------
    base : Base
        The base.
    kind : KSeed
        How many directions, and from what they are drawn.
    names : sequence of str
        The weights that are moved, by their names in the base.

    Attributes
    ----------
    pool : Parameter, [seeds]
        How far along each direction the model is.
    """

    def __init__(self, base: Base, kind: KSeed, names: Sequence[str]) -> None:
        super().__init__(base, kind)
        self._directions = kind.directions
        weights = dict(base.model.named_parameters())
        self._weights = {name: weights[name] for name in names}
        self._own = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self._built, self._built_of = self._own, torch.zeros(kind.seeds)
        self._moved = False
        self.pool = nn.Parameter(torch.zeros(kind.seeds, device=base.device))
        self.parameters = {POOL: self.pool}

    def counts(self) -> tuple[int, int]:
        """Return the numbers of frozen and of trainable parameters."""
        return sum(p.numel() for p in self.peft.parameters()), len(self.pool)

    def drawn(self) -> torch.Tensor:
        """Return the first seed's direction, of the smallest weight."""
        name, weight = min(self._own.items(), key=lambda named: named[1].numel())
        return self._direction(0, name, weight).flatten().cpu()

    @torch.no_grad()
    def written(self) -> None:
        """Give the weights the values that belong to the pool."""
        pool = self.pool.detach().cpu()
        if not torch.equal(pool, self._built_of):
            self._built = {name: self._applied(name, own, pool) for name, own in self._own.items()}
            self._built_of, self._moved = pool.clone(), True
        if self._moved:
            for name, weight in self._weights.items():
                weight.copy_(self._built[name])
            self._moved = False

    @torch.no_grad()
    def move(self, seed: int, by: float) -> None:
        """Move the weights along a seed's direction; until the next `written` they are not the pool's."""
        self._moved = True
        for name, weight in self._weights.items():
            weight.add_(self._direction(seed, name, weight).to(weight.dtype), alpha=by)

    @torch.no_grad()
    def add(self, seed: int, by: float) -> None:
        """Say in the pool how far the weights have been moved along a seed's direction."""
        self.pool[seed] += by

    def unload(self) -> None:
        """Do nothing: with the first pool, of zeros, the weights are the base's own."""

    def _applied(self, name: str, own: torch.Tensor, pool: torch.Tensor) -> torch.Tensor:
        """Return a weight with a pool applied, added up in float32."""
        if not bool(pool.any()):
            return own
        moved = own.float().clone()
        for seed in torch.nonzero(pool).flatten().tolist():
            moved.add_(self._direction(seed, name, own), alpha=float(pool[seed]))
        return moved.to(own.dtype)

    def _direction(self, seed: int, name: str, like: torch.Tensor) -> torch.Tensor:
        draw = torch_generator(self._directions, "kseed", seed, name, device=like.device)
        return torch.randn(like.shape, generator=draw, device=like.device)
