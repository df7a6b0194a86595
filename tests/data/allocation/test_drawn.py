from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shepherd.data.allocation import Drawn
from shepherd.data.encoding import EncodedExamples
from shepherd.data.heterogeneity import heterogeneity
from shepherd.data.instructions import Instructions, read_instructions
from shepherd.data.population import Population
from shepherd.errors import ShepherdError


@pytest.fixture(scope="module")
def instructions() -> Instructions:
    return read_instructions("meadow", {}, 400)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 9),
    client=st.integers(0, 999_999),
    alpha=st.none() | st.sampled_from([1e-3, 0.1, 1.0, 100.0]),
    bounds=st.lists(st.integers(1, 400), min_size=2, max_size=2).map(sorted),
)
def test_a_client_is_the_same_whenever_it_is_asked_for(
    instructions: Instructions, seed: int, client: int, alpha: float | None, bounds: list[int]
) -> None:
    rule = Drawn(alpha=alpha, min_examples=bounds[0], max_examples=bounds[1])
    one, other = (rule.allocate(instructions, seed) for _ in range(2))
    rows = one.rows[client]
    assert rows.tolist() == other.rows[client].tolist()
    assert bounds[0] <= len(rows) == one.sizes[client] <= bounds[1]
    assert len(set(rows.tolist())) == len(rows)
    assert all(0 <= row < len(instructions) for row in rows)
    assert one.names[client] == str(client)


def test_a_small_alpha_makes_clients_of_few_categories(instructions: Instructions) -> None:
    few, many, fair = (
        heterogeneity(
            Drawn(clients=300, alpha=alpha).allocate(instructions, 0), instructions.categories()
        ).summary["classes_median"]
        for alpha in (0.3, 8.0, None)
    )
    assert few <= 2 < many <= fair


def test_a_million_clients_cost_what_a_hundred_do(instructions: Instructions) -> None:
    store = EncodedExamples(np.zeros(400), np.arange(401), np.ones(400), 0, "")

    def cost(clients: int) -> int:
        tracemalloc.start()
        allocated = Drawn(clients=clients).allocate(instructions, 0)
        population = Population.from_allocated(allocated, store)
        assert len(population) == clients
        assert len(population.client(clients - 1)) == population.sizes[clients - 1]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    cost(10)
    assert cost(1_000_000) < 1.2 * cost(100)


def test_of_a_very_large_population_a_sample_is_measured(instructions: Instructions) -> None:
    found = heterogeneity(Drawn().allocate(instructions, 0), instructions.categories())
    assert len(found.names) == 1000
    assert (found.names[0], found.names[-1]) == ("0", "999999")
    assert found.summary["clients"] == 1_000_000
    assert type(found).from_dict(found.to_dict()).population == 1_000_000


def test_a_client_larger_than_the_data_is_refused(instructions: Instructions) -> None:
    with pytest.raises(ShepherdError, match=r"lower allocation\.max_examples"):
        Drawn(max_examples=401).allocate(instructions, 0)


def test_bounds_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="must not exceed"):
        Drawn(min_examples=9, max_examples=8)
