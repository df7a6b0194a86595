import json
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shepherd.data.allocation import Allocated
from shepherd.data.heterogeneity import Heterogeneity, heterogeneity
from shepherd.errors import ShepherdError

COUNTS = st.integers(1, 5).flatmap(
    lambda k: st.lists(
        st.lists(st.integers(0, 9), min_size=k, max_size=k).filter(any), min_size=1, max_size=6
    )
)


def measure(counts: list[list[int]]) -> Heterogeneity:
    """Allocate rows so that client i holds counts[i][k] of category k."""
    table = np.array(counts)
    codes = np.concatenate([np.repeat(np.arange(table.shape[1]), row) for row in table])
    rows = np.split(np.arange(len(codes)), np.cumsum(table.sum(axis=1))[:-1])
    categories = np.array([f"category {k}" for k in codes])
    return heterogeneity(Allocated([str(i) for i in range(len(rows))], rows), categories)


def entropy(p: list[float]) -> float:
    return -sum(x * math.log(x) for x in p if x > 0)


def jensen_shannon(p: list[float], q: list[float]) -> float:
    """The definition: the entropy of the mean less the mean of the entropies."""
    return entropy([(a + b) / 2 for a, b in zip(p, q, strict=True)]) - (entropy(p) + entropy(q)) / 2


@settings(max_examples=80, deadline=None)
@given(counts=COUNTS)
def test_entropy_and_divergence_follow_their_definitions(counts):
    found = measure(counts)
    whole = np.sum(counts, axis=0)
    q = list(whole / whole.sum())
    for i, row in enumerate(counts):
        p = [x / sum(row) for x in row]
        assert found.entropy[i] == pytest.approx(entropy(p), abs=1e-12)
        assert found.divergence[i] == pytest.approx(jensen_shannon(p, q), abs=1e-12)
    assert ((found.divergence >= 0) & (found.divergence <= math.log(2))).all()
    assert found.summary["entropy_whole_nats"] == pytest.approx(entropy(q), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(counts=COUNTS)
def test_counts_and_sizes(counts):
    found = measure(counts)
    assert list(found.examples) == [sum(row) for row in counts]
    assert list(found.classes) == [sum(x > 0 for x in row) for row in counts]
    np.testing.assert_array_equal(found.whole, [x for x in np.sum(counts, axis=0) if x])


@settings(max_examples=40, deadline=None)
@given(counts=COUNTS)
def test_a_record_survives_json(counts):
    record = measure(counts).to_dict()
    assert Heterogeneity.from_dict(json.loads(json.dumps(record))).to_dict() == record


def test_the_skew_of_volumes():
    found = measure([[1], [1], [1], [5]])
    assert found.summary["examples_gini"] == pytest.approx(0.375)
    assert found.summary["examples_cv"] == pytest.approx(math.sqrt(3) / 2)
    assert measure([[3], [3]]).summary["examples_gini"] == 0


def test_clients_with_nothing_in_common_approach_the_bound():
    counts = np.eye(200, dtype=int).tolist()
    assert measure(counts).divergence == pytest.approx(math.log(2), abs=0.03)


def test_only_what_was_dealt_counts():
    found = heterogeneity(Allocated(["x"], [np.array([2, 0])]), np.array(["b", "dropped", "a"]))
    assert found.categories == ["a", "b"]
    assert found.to_dict()["clients"][0]["counts"] == {"a": 1, "b": 1}


def test_a_client_without_examples_is_refused():
    with pytest.raises(ShepherdError, match="Client 'y' holds no examples"):
        heterogeneity(Allocated(["x", "y"], [np.array([0]), np.array([], dtype=int)]), np.array(["a"]))
    with pytest.raises(ShepherdError, match="no clients"):
        heterogeneity(Allocated([], []), np.array(["a"]))


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"clients": [], "whole": {}},
        {"clients": [{"name": "x", "counts": {"b": 1}}], "whole": {"a": 1}},
        {"clients": [{"name": "x", "counts": {"a": -1}}], "whole": {"a": 1}},
        {"clients": [{"name": "x", "counts": {"a": "many"}}], "whole": {"a": 1}},
        {"clients": "x", "whole": {"a": 1}},
    ],
)
def test_a_damaged_record_is_refused(record):
    with pytest.raises(ShepherdError):
        Heterogeneity.from_dict(record)


def test_ten_thousand_clients_are_measured_fast():
    random = np.random.default_rng(0)
    rows = np.array_split(random.permutation(200_000), 10_000)
    categories = random.integers(0, 50, 200_000).astype(str)
    began = time.monotonic()
    found = heterogeneity(Allocated([str(i) for i in range(10_000)], rows), categories)
    assert found.summary["clients"] == 10_000
    assert time.monotonic() - began < 3


def test_the_specialist_holds_little_else_and_all_of_it():
    found = measure([[8, 1, 1], [9, 0, 0], [5, 4, 1], [1, 6, 0]])
    assert found.specialist(["category 0"]) == "1"
    assert found.specialist(["category 0"], others=["1"]) == "0"
    assert found.specialist(["category 0", "category 1"]) == "2"  # 4 of 10 at the least; client 0 has 1 of 10
    with pytest.raises(ShepherdError, match="did you mean 'category 2'"):
        found.specialist(["categry 2"])
    with pytest.raises(ShepherdError, match="No client that is left"):
        found.specialist(["category 2"], others=["0", "2"])
