import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from shepherd.data.allocation import Dirichlet
from shepherd.data.allocation.dirichlet import _split
from shepherd.errors import ShepherdError


@settings(max_examples=60, deadline=None)
@given(
    categories=st.lists(st.sampled_from("abcde"), min_size=60, max_size=150),
    clients=st.integers(1, 6),
    min_examples=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_every_client_holds_min_examples(build, categories, clients, min_examples, seed):
    scheme = Dirichlet(clients=clients, min_examples=min_examples)
    sizes = [len(rows) for rows in scheme.allocate(build(categories), seed).rows]
    assert len(sizes) == clients
    assert min(sizes) >= min_examples


@given(
    rows=st.integers(0, 10_000),
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=30),
    data=st.data(),
)
def test_split_deals_all_rows_and_none_to_the_full(rows, shares, data):
    is_open = data.draw(st.lists(st.booleans(), min_size=len(shares), max_size=len(shares)).filter(any))
    counts = _split(rows, np.array(shares), np.array(is_open))
    assert counts.sum() == rows
    assert (counts >= 0).all()
    assert not counts[~np.array(is_open)].any()


def test_split_is_the_published_floor_of_the_cumulated_shares():
    shares = np.array([0.2, 0.5, 0.3])
    np.testing.assert_array_equal(_split(11, shares, np.ones(3, dtype=bool)), [2, 5, 4])
    np.testing.assert_array_equal(_split(11, shares, np.array([True, False, True])), [4, 0, 7])


def test_split_without_weight_on_open_clients_shares_evenly():
    counts = _split(10, np.array([1.0, 0.0, 0.0]), np.array([False, True, True]))
    np.testing.assert_array_equal(counts, [0, 5, 5])


def test_a_full_client_takes_no_further_category(build):
    categories = np.repeat(list("abcdef"), 100)
    allocated = Dirichlet(clients=3, alpha=0.2, min_examples=1).allocate(build(list(categories)), 5)
    cap = len(categories) / 3
    for rows in allocated.rows:
        assert len(rows) - np.sum(categories[rows] == max(categories[rows])) < cap


@pytest.mark.parametrize("alpha", [1e-300, 1e-3, 1e12])
def test_extreme_alphas_deal_every_row(build, alpha):
    scheme = Dirichlet(clients=2, alpha=alpha, min_examples=1)
    allocated = scheme.allocate(build(list("abcd") * 50), 0)
    assert sorted(np.concatenate(allocated.rows)) == list(range(200))


def test_more_than_there_is_is_refused_at_once_with_the_numbers(build):
    began = time.monotonic()
    with pytest.raises(ShepherdError, match=r"400 training.*100 clients.*min_examples=40.*4,000"):
        Dirichlet(clients=100).allocate(build(["a"] * 400), 0)
    assert time.monotonic() - began < 1


def test_an_unlikely_request_is_refused_after_its_attempts_with_the_best_seen(build):
    began = time.monotonic()
    with pytest.raises(
        ShepherdError, match=r"400 instr.*in 200 draws at alpha=0.5 .* held \d+ at best; lower"
    ):
        Dirichlet(clients=100, min_examples=4, attempts=200).allocate(build(list("abcd") * 100), 0)
    assert time.monotonic() - began < 2


def test_a_hundred_attempts_take_well_under_a_second():
    sizes = np.full(8, 15_000 // 8)
    scheme = Dirichlet(clients=100, min_examples=140, attempts=100)
    began = time.monotonic()
    with pytest.raises(ShepherdError, match="in 100 draws"):
        scheme._accepted(sizes, np.random.default_rng(0))
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("bad", [{"clients": 0}, {"alpha": 0}, {"min_examples": 0}, {"attempts": 0}])
def test_meaningless_settings_are_refused(bad):
    with pytest.raises(ValidationError):
        Dirichlet(**bad)
