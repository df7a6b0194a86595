from hypothesis import given, settings
from hypothesis import strategies as st

from shepherd.data.allocation import Iid


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(20, 100), clients=st.integers(1, 20))
def test_sizes_differ_by_at_most_one(build, rows, clients):
    sizes = [len(held) for held in Iid(clients=clients).allocate(build(["a"] * rows), 0).rows]
    assert len(sizes) == clients
    assert max(sizes) - min(sizes) <= 1


def test_rows_are_mixed(build):
    first = Iid(clients=2).allocate(build(["a"] * 50 + ["b"] * 50), 0).rows[0]
    assert 10 < sum(row < 50 for row in first) < 40
