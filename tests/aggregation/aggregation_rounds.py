"""Updates of random clients, and whole rounds of an aggregation on them, as the rules' tests want them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from shepherd.aggregation import Aggregated, Aggregation
from shepherd.messages import ClientUpdate
from shepherd.model.adapter import Adapter
from shepherd.running_sum import RunningSum
from shepherd.tree import Tree

SHAPES = {"a": (2, 3), "b": (4,)}
ZERO = Adapter({name: torch.zeros(shape) for name, shape in SHAPES.items()})


def random_update(seed: int, size: float = 1.0) -> Adapter:
    """Return an update whose values are normal."""
    draw = torch.Generator().manual_seed(seed)
    return Adapter({name: size * torch.randn(shape, generator=draw) for name, shape in SHAPES.items()})


def sent(
    update: Adapter, examples: int = 1, response_tokens: int = 1, client: int = 0, said: Tree | None = None
) -> ClientUpdate:
    """Return what a client sends."""
    return ClientUpdate(
        client=client,
        update=update,
        selected=examples,
        examples=examples,
        tokens=0,
        response_tokens=response_tokens,
        steps=1,
        train_loss=0.0,
        update_norm=0.0,
        seconds=0.0,
        said=said or {},
    )


def aggregated(
    rule: Aggregation,
    updates: Sequence[ClientUpdate],
    state: Tree,
    adapter: Adapter = ZERO,
    shares: Sequence[float] | None = None,
) -> Aggregated:
    """Return what a rule makes of one round."""
    total = rule.start(adapter)
    for update in updates:
        total = rule.accumulate(
            total, update if shares is None else replace(update, share=shares[update.client])
        )
    return rule.finish(adapter, total, state)


def halves(rule: Aggregation, updates: Sequence[ClientUpdate], state: Tree) -> Aggregated:
    """Return what two processes make of one round, each of every second update, whose sums are added up."""
    sums = []
    for half in (updates[::2], updates[1::2]):
        total = rule.start(ZERO)
        for update in half:
            total = rule.accumulate(total, update)
        sums.append(total)
    whole = {name: _both(getattr(sums[0], name), getattr(sums[1], name)) for name in vars(sums[0])}
    return rule.finish(ZERO, replace(sums[0], **whole), state)


def _both(one: Any, other: Any) -> Any:
    """Return the sum of two running sums, tensors or numbers."""
    return RunningSum(one.value + other.value) if isinstance(one, RunningSum) else one + other
