"""What holds for every scheme that deals out rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shepherd.data.allocation import Allocation, ByField, Dirichlet, Iid, Shards
from shepherd.errors import ShepherdError

CATEGORIES = st.lists(st.sampled_from("abcde"), min_size=12, max_size=80)
SCHEMES = st.one_of(
    st.builds(Shards, clients=st.integers(1, 6), shards_per_client=st.integers(1, 2)),
    st.builds(Iid, clients=st.integers(1, 12)),
    st.builds(Dirichlet, clients=st.integers(1, 4), alpha=st.floats(0.3, 10), min_examples=st.integers(1, 2)),
    st.builds(ByField),
)
RENAMED = {"a": "art", "b": "biology", "c": "chess", "d": "dance", "e": "ethics"}


@settings(max_examples=80, deadline=None)
@given(scheme=SCHEMES, categories=CATEGORIES, seed=st.integers(0, 2**40))
def test_every_row_is_dealt_exactly_once(build, scheme, categories, seed):
    allocated = scheme.allocate(build(categories), seed)
    assert sorted(np.concatenate(allocated.rows)) == list(range(len(categories)))
    assert len(set(allocated.names)) == len(allocated.names) == len(allocated.rows)
    assert all(len(rows) for rows in allocated.rows)
    assert {rows.dtype for rows in allocated.rows} == {np.dtype(np.int64)}


@settings(max_examples=40, deadline=None)
@given(scheme=SCHEMES, categories=CATEGORIES, seed=st.integers(0, 2**40))
def test_same_seed_same_rows_whatever_the_categories_are_called(build, scheme, categories, seed):
    first = scheme.allocate(build(categories), seed)
    again = scheme.allocate(build(categories), seed)
    renamed = scheme.allocate(build([RENAMED[c] for c in categories]), seed)
    for rows, same, other in zip(first.rows, again.rows, renamed.rows, strict=True):
        np.testing.assert_array_equal(rows, same)
        np.testing.assert_array_equal(rows, other)


@pytest.mark.parametrize("scheme", [Shards(clients=3), Iid(clients=3), Dirichlet(clients=3, min_examples=5)])
def test_another_seed_deals_otherwise(build, scheme):
    instructions = build(list("abcdef") * 20)
    one, other = scheme.allocate(instructions, 0), scheme.allocate(instructions, 1)
    assert any(list(a) != list(b) for a, b in zip(one.rows, other.rows, strict=True))


@pytest.mark.parametrize(
    ("scheme", "numbers"),
    [
        (Iid(clients=6), ("5 training", "at least 6", "fewer clients")),
        (Shards(clients=3), ("5 training", "at least 6", "shards_per_client")),
        (Dirichlet(clients=6, min_examples=1), ("5 training", "at least 6", "min_examples")),
    ],
)
def test_more_clients_than_rows_are_refused(build, scheme: Allocation, numbers):
    with pytest.raises(ShepherdError) as refusal:
        scheme.allocate(build(list("aabbc")), 0)
    assert all(number in str(refusal.value) for number in numbers)
    assert "made-up.jsonl" in str(refusal.value)


@pytest.mark.parametrize("scheme", [Iid(clients=1), Shards(clients=1, shards_per_client=1)])
def test_no_rows_are_refused(build, scheme):
    with pytest.raises(ShepherdError, match="0 training instructions"):
        scheme.allocate(build([]), 0)
