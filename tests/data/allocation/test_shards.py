import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shepherd.data.allocation import Shards


@settings(max_examples=60, deadline=None)
@given(
    categories=st.lists(st.sampled_from("abcde"), min_size=24, max_size=90),
    clients=st.integers(1, 6),
    shards_per_client=st.integers(1, 4),
)
def test_sizes_are_equal_within_one_row_a_shard(build, categories, clients, shards_per_client):
    scheme = Shards(clients=clients, shards_per_client=shards_per_client)
    sizes = [len(rows) for rows in scheme.allocate(build(categories), 7).rows]
    assert len(sizes) == clients
    assert max(sizes) - min(sizes) <= shards_per_client


def test_a_client_holds_contiguous_pieces_of_the_stably_sorted_rows(build):
    categories = list("cabcab" * 10)
    by_category = np.argsort(categories, kind="stable")
    place = np.argsort(by_category)
    for rows in Shards(clients=5, shards_per_client=3).allocate(build(categories), 3).rows:
        for shard in np.split(place[rows], 3):
            assert shard[0] % 4 == 0
            np.testing.assert_array_equal(shard, shard[0] + np.arange(4))


def test_two_shards_a_client_hold_few_categories(build):
    categories = np.array(sorted("abcdefgh" * 100))
    allocated = Shards(clients=40).allocate(build(list(categories)), 0)
    assert max(len(set(categories[rows])) for rows in allocated.rows) <= 2
