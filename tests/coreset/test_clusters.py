from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.cluster import HDBSCAN
from sklearn.metrics import adjusted_rand_score

from shepherd.coreset import neighbour_graph
from shepherd.coreset.clusters import Clusters, find_clusters
from shepherd.coreset.neighbour_graph import spanning_tree


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def blobs(seed: int, groups: int, size: int, dimensions: int, spread: float = 0.3) -> np.ndarray:
    generator = np.random.default_rng(seed)
    centres = 30 * np.arange(groups)[:, None] + generator.uniform(-5, 5, size=(groups, dimensions))
    return np.repeat(centres, size, axis=0) + spread * generator.normal(size=(groups * size, dimensions))


def sound(found: Clusters, points: int, smallest: int) -> None:
    assert found.labels.shape == found.weights.shape == (points,)
    assert (found.labels.dtype, found.weights.dtype) == (np.int64, np.float64)
    assert np.isfinite(found.weights).all()
    assert ((found.weights >= 0) & (found.weights <= 1)).all()
    assert (found.weights[found.labels < 0] == 0).all()
    assert sorted(set(found.labels.tolist()) - {-1}) == list(range(found.count))
    for cluster in range(found.count):
        assert len(found.members(cluster)) >= smallest
        assert found.weights[found.members(cluster)].max() == 1


def partition(labels: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels.tolist()) - {-1}}


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    groups=st.integers(2, 6),
    size=st.integers(8, 70),
    dimensions=st.integers(1, 4),
    smallest=st.integers(2, 5),
)
def test_the_order_of_the_points_does_not_matter(
    seed: int, groups: int, size: int, dimensions: int, smallest: int
) -> None:
    points = blobs(seed, groups, size, dimensions)
    order = np.random.default_rng(seed).permutation(len(points))
    found, permuted = find_clusters(points, smallest), find_clusters(points[order], smallest)
    np.testing.assert_array_equal(permuted.labels, found.labels[order])
    np.testing.assert_array_equal(permuted.weights, found.weights[order])
    truth = np.repeat(np.arange(groups), size)
    assert all(len(set(truth[list(cluster)])) == 1 for cluster in partition(found.labels))
    sound(found, len(points), smallest)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2)), max_size=40),
    smallest=st.integers(2, 6),
    unit=st.sampled_from([1e-300, 1e-3, 1.0, 1e300]),
)
def test_few_places_and_many_ties_are_partitioned_in_any_order_and_unit(
    rows: list[tuple[int, int]], smallest: int, unit: float
) -> None:
    points = np.array(rows, dtype=float).reshape(-1, 2)
    found = find_clusters(points, smallest)
    sound(found, len(points), smallest)
    np.testing.assert_array_equal(find_clusters(points[::-1], smallest).labels, found.labels[::-1])
    np.testing.assert_array_equal(find_clusters(points * 2.0**40, smallest).weights, found.weights)
    sound(find_clusters(points * unit, smallest), len(points), smallest)
    for place in set(rows):
        here = (points == place).all(axis=1)
        assert len(set(found.labels[here].tolist())) == len(set(found.weights[here].tolist())) == 1


@pytest.mark.parametrize("count", [0, 1, 4])
def test_fewer_points_than_a_cluster_has_are_in_none(count: int) -> None:
    found = find_clusters(np.zeros((count, 3)), 5)
    assert found.count == 0
    assert found.labels.tolist() == [-1] * count
    assert found.weights.tolist() == [0] * count


@pytest.mark.parametrize("points", [2, 3, 400])
@pytest.mark.parametrize("value", [0.0, -0.0, 7.5, 1e308])
def test_points_that_are_all_the_same_are_one_cluster(points: int, value: float) -> None:
    found = find_clusters(np.full((points, 2), value), 2)
    assert found.labels.tolist() == [0] * points
    assert found.weights.tolist() == [1] * points


def test_points_that_do_not_fall_apart_are_noise() -> None:
    found = find_clusters(np.array([[0.0], [1.0], [3.0]]), 2)
    assert found.labels.tolist() == [-1, -1, -1]
    assert found.count == 0


@pytest.mark.parametrize("few", [0, 10**6])
def test_copies_are_a_peak_and_no_probability_is_lost(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbour_graph, "_FEW", few)
    points = blobs(0, 3, 30, 2)
    points[:12] = points[0]
    found = find_clusters(points, 5)
    sound(found, 90, 5)
    assert found.count == 3
    assert (found.weights[:12] == 1).all()
    np.testing.assert_allclose(found.centre(points, found.labels[0]), points[0], atol=1e-6)
    pairs = find_clusters(np.repeat(blobs(1, 2, 30, 2), 40, axis=0), 5)
    sound(pairs, 2400, 5)
    two = find_clusters(np.repeat([[0.0, 0.0], [1.0, 1.0]], 1000, axis=0), 5)
    assert partition(two.labels) == {frozenset(range(1000)), frozenset(range(1000, 2000))}
    assert (two.weights == 1).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_points_that_are_not_finite_are_refused(bad: float) -> None:
    points = np.zeros((5, 2))
    points[3, 1] = bad
    with pytest.raises(ValueError, match=r"1 of 5 are not, the first of them point 3"):
        find_clusters(points, 2)


def test_what_is_no_matrix_or_no_size_is_refused() -> None:
    with pytest.raises(ValueError, match="rows of a matrix"):
        find_clusters(np.zeros(5), 2)
    with pytest.raises(ValueError, match="at least 2 points; 1 was asked for"):
        find_clusters(np.zeros((5, 2)), 1)


def test_a_centre_is_the_mean_weighted_by_membership() -> None:
    points = blobs(0, 3, 40, 2)
    found = find_clusters(points, 5)
    reference = HDBSCAN(min_cluster_size=5, min_samples=6, copy=True, store_centers="centroid").fit(points)
    assert found.count == 3
    for cluster in range(3):
        own = found.members(cluster)
        theirs = reference.centroids_[reference.labels_[own[0]]]
        np.testing.assert_allclose(found.centre(points, cluster), theirs, atol=1e-6)
        by_hand = sum(found.weights[i] * points[i] for i in own) / found.weights[own].sum()
        np.testing.assert_allclose(found.centre(points, cluster), by_hand)


@pytest.mark.parametrize("few", [0, 10**6])
@pytest.mark.parametrize(("smallest", "dimensions"), [(2, 16), (5, 2), (5, 16)])
def test_blobs_are_what_scikit_learn_finds(
    few: int, smallest: int, dimensions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbour_graph, "_FEW", few)
    points = blobs(3, 12, 60, dimensions)
    found = find_clusters(points, smallest)
    reference = HDBSCAN(min_cluster_size=smallest, min_samples=smallest + 1, copy=True).fit(points)
    sound(found, len(points), smallest)
    assert adjusted_rand_score(reference.labels_, found.labels) > 0.95
    # Ties, which scikit-learn breaks by the points' order, decide how deep a few of the clusters reach.
    assert np.isclose(found.weights, reference.probabilities_, atol=1e-6).mean() > 0.7


def structured(kind: str) -> np.ndarray:
    generator = np.random.default_rng(5)
    if kind == "blobs":
        return blobs(5, 10, 60, 8, 1.0)
    if kind == "gaussian":
        return generator.normal(size=(600, 4))
    if kind == "copies":
        return np.round(4 * generator.normal(size=(1200, 2))) / 4
    return blobs(5, 30, 20, 3, 1.0)[generator.integers(600, size=1000)]


@pytest.mark.parametrize("smallest", [2, 5, 40])
@pytest.mark.parametrize("kind", ["blobs", "gaussian", "copies", "drawn again"])
def test_nearest_neighbours_find_what_all_pairs_find(
    kind: str, smallest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = structured(kind)
    monkeypatch.setattr(neighbour_graph, "_FEW", 10**6)
    exact = find_clusters(points, smallest)
    monkeypatch.setattr(neighbour_graph, "_FEW", 0)
    found = find_clusters(points, smallest)
    sound(found, len(points), smallest)
    assert adjusted_rand_score(exact.labels, found.labels) > 0.95


@pytest.mark.parametrize("kind", ["blobs", "gaussian", "copies"])
def test_a_tree_search_and_matrix_products_find_the_same(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    points = structured(kind) + 1e4
    found = []
    for part in (0.0, 2.0):
        monkeypatch.setattr(neighbour_graph, "_WORTHWHILE", part)
        found.append(find_clusters(points, 5))
    assert adjusted_rand_score(found[0].labels, found[1].labels) > 0.99


@pytest.mark.parametrize("samples", [1, 3, 6])
def test_the_spanning_tree_of_few_points_weighs_what_brute_force_says(samples: int) -> None:
    generator = np.random.default_rng(samples)
    points, counts = generator.normal(size=(40, 3)), generator.integers(1, 4, size=40)
    tree, core = spanning_tree(points, counts, samples)
    lengths = cdist(points, points)
    expected = [np.sort(np.repeat(row, counts))[samples - 1] for row in lengths]
    np.testing.assert_allclose(core, expected, atol=1e-12)
    reach = np.maximum(lengths, np.maximum(core[:, None], core[None]))
    inside, weight = [0], 0.0
    while len(inside) < 40:
        outside = np.setdiff1d(np.arange(40), inside)
        between = reach[np.ix_(inside, outside)]
        weight += between.min()
        inside.append(int(outside[between.min(axis=0).argmin()]))
    assert tree.nnz == 39
    np.testing.assert_allclose(tree.sum(), weight, rtol=1e-7)


@pytest.mark.parametrize("few", [0, 10**6])
def test_far_groups_are_joined_at_about_the_distance_between_them(
    few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbour_graph, "_FEW", few)
    points = blobs(7, 8, 40, 3)
    tree, _ = spanning_tree(points, np.ones(len(points), dtype=int), 3)
    group = np.arange(len(points)) // 40
    lengths = cdist(points, points)
    lengths[group[:, None] == group] = np.inf
    between = np.array([[lengths[np.ix_(group == a, group == b)].min() for b in range(8)] for a in range(8)])
    joined, weight = [0], 0.0
    while len(joined) < 8:
        left = np.setdiff1d(np.arange(8), joined)
        weight += between[np.ix_(joined, left)].min()
        joined.append(int(left[between[np.ix_(joined, left)].min(axis=0).argmin()]))
    starts, ends = tree.nonzero()
    bridges = tree.data[group[starts] != group[ends]]
    assert len(bridges) == 7
    assert bridges.sum() == pytest.approx(weight, rel=0.02)
