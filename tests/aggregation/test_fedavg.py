from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest
import torch
from aggregation_rounds import ZERO, random_update, sent
from hypothesis import given
from hypothesis import strategies as st

from shepherd.aggregation import FedAvg
from shepherd.errors import ShepherdError
from shepherd.messages import ClientUpdate
from shepherd.model.adapter import Adapter

Weights = Literal["examples", "tokens", "uniform"]
#: One client: the seed of its update, its examples, its response tokens.
clients = st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 5000), st.integers(1, 10**6))
cohorts = st.lists(clients, min_size=1, max_size=8)
weightings = st.sampled_from(["examples", "tokens", "uniform"])


def mean(weights: Weights, updates: Sequence[ClientUpdate], adapter: Adapter = ZERO) -> Adapter:
    rule = FedAvg(weights=weights)
    total = rule.start(adapter)
    for update in updates:
        total = rule.accumulate(total, update)
    return rule.finish(adapter, total, rule.init(adapter, 10)).step


@given(cohort=cohorts, weights=weightings)
def test_it_is_the_weighted_mean(cohort: list[tuple[int, int, int]], weights: Weights) -> None:
    found = mean(weights, [sent(random_update(seed), *counts) for seed, *counts in cohort])
    shares = {"examples": [n for _, n, _ in cohort], "tokens": [t for *_, t in cohort], "uniform": None}
    for name, tensor in found.items():
        stacked = np.stack([random_update(seed)[name].double().numpy() for seed, *_ in cohort])
        expected = np.average(stacked, axis=0, weights=shares[weights])
        np.testing.assert_allclose(tensor.numpy(), expected, rtol=1e-6, atol=1e-7)


@given(cohort=cohorts, weights=weightings, data=st.data())
def test_the_order_of_clients_is_nothing_but_rounding(
    cohort: list[tuple[int, int, int]], weights: Weights, data: st.DataObject
) -> None:
    updates = [sent(random_update(seed), *counts) for seed, *counts in cohort]
    gap = mean(weights, updates) - mean(weights, data.draw(st.permutations(updates)))
    assert gap.norm() <= 1e-6


@given(seed=st.integers(0, 2**32 - 1), counts=st.lists(st.integers(1, 5000), min_size=1, max_size=8))
def test_equal_clients_average_to_themselves(seed: int, counts: list[int]) -> None:
    update = random_update(seed)
    found = mean("examples", [sent(update, count) for count in counts])
    assert found.to_bytes() == update.to_bytes()


def test_a_thousand_small_updates_are_not_lost_beside_a_large_one() -> None:
    def constant(value: float) -> ClientUpdate:
        return sent(ZERO.map(lambda tensor: torch.full_like(tensor, value)))

    found = mean("uniform", [constant(1e8), *[constant(1.0)] * 1000, constant(-1e8)])
    torch.testing.assert_close(found["b"], torch.full((4,), 1000 / 1002))


def test_a_sum_takes_no_update_and_no_start_with_it() -> None:
    rule, update = FedAvg(), sent(random_update(1), 3)
    before = update.update.to_bytes()
    first = rule.accumulate(rule.start(ZERO), update)
    assert update.update.to_bytes() == before
    assert not rule.start(ZERO).total.value.any()
    assert first.weight == 3


def test_large_adapters_are_added_as_small_ones_are() -> None:
    long = Adapter({"a": torch.randn(40_000, generator=torch.Generator().manual_seed(0))})
    rule, total = FedAvg(weights="uniform"), FedAvg().start(long)
    for _ in range(3):
        total = rule.accumulate(total, sent(long))
    torch.testing.assert_close(total.total.value, 3 * long.vector.double())


def test_the_update_is_the_same_whatever_the_global_adapter_is() -> None:
    updates = [sent(random_update(seed), seed) for seed in (1, 2, 3)]
    assert mean("examples", updates, random_update(9)).to_bytes() == mean("examples", updates).to_bytes()


@pytest.mark.parametrize("updates", [[], [sent(random_update(1), 0)]])
def test_a_round_in_which_nobody_trained_is_refused(updates: list[ClientUpdate]) -> None:
    with pytest.raises(ShepherdError, match="No client of this round trained on anything"):
        mean("examples", updates)
