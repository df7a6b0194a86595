"""Clients in tiers: dealt by chance, or by how many examples they hold."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Self

from pydantic import Field, model_validator

from shepherd.capacity.base import Capacity, Configuration
from shepherd.randomness import generator


class Tier(Configuration):
    """What the clients of one tier hold.

    Attributes
    ----------
    share : float
        The share of all clients that are in it, as expected.
    """

    share: float = Field(gt=0, le=1, examples=[0.5])


class SizeTier(Configuration):
    """What the clients of one tier hold.

    Attributes
    ----------
    examples : int
        The fewest examples that a client in it holds; of several tiers it is in the one that asks for most.
    """

    examples: int = Field(0, ge=0)


class Tiers(Capacity):
    """Deals every client a tier at random, by its address: the same in every round and in every process.

    Attributes
    ----------
    tiers : list of Tier
        Their shares add up to 1.
    """

    name: str = "tiers"
    tiers: tuple[Tier, ...] = Field(min_length=1, examples=["[{share: 0.5, rank: 4}, {share: 0.5, rank: 8}]"])

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = sum(tier.share for tier in self.tiers)
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares of tiers add up to {total:g}; make it 1")
        return self

    def configuration(self, client: int, name: str, size: int, seed: int) -> Configuration:
        """Return the tier's that the client was dealt."""
        drawn = generator(seed, "capacity", client).random()
        ends = list(accumulate(tier.share for tier in self.tiers))[:-1]
        # The last tier takes what rounding leaves of the shares.
        return self.tiers[sum(drawn >= end for end in ends)].plain

    def given(self) -> Iterator[tuple[str, Configuration]]:
        """Yield each tier's."""
        yield from _numbered(self.tiers)


class BySize(Capacity):
    """Gives clients with more examples more to train.

    Attributes
    ----------
    tiers : list of SizeTier
        By the fewest examples that a client in them holds; one is for everybody, with 0.
    """

    name: str = "by_size"
    tiers: tuple[SizeTier, ...] = Field(min_length=1, examples=["[{rank: 4}, {examples: 200, rank: 8}]"])

    @model_validator(mode="after")
    def _everybody_once(self) -> Self:
        least = [tier.examples for tier in self.tiers]
        if len(set(least)) < len(least):
            raise ValueError("two of tiers begin at the same number of examples; give each another")
        if min(least) > 0:
            raise ValueError(f"no tier is for clients of fewer than {min(least)} examples; let one have 0")
        return self

    def configuration(self, client: int, name: str, size: int, seed: int) -> Configuration:
        """Return that of the client's size."""
        return max((tier for tier in self.tiers if tier.examples <= size), key=lambda t: t.examples).plain

    def given(self) -> Iterator[tuple[str, Configuration]]:
        """Yield each tier's."""
        yield from _numbered(self.tiers)


def _numbered(tiers: tuple[Configuration, ...]) -> Iterator[tuple[str, Configuration]]:
    for number, tier in enumerate(tiers, start=1):
        yield f"the tier number {number}", tier.plain
