from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shepherd.coreset.merge import farthest_first, nearest_of_each


def blobs(sizes: list[int], seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return np.concatenate([draw.normal(100 * k, 1, (size, 3)) for k, size in enumerate(sizes)])


def test_of_every_cluster_the_nearest_to_its_centre_stays() -> None:
    means = blobs([5, 4, 6])
    survivors = nearest_of_each(means, 2, keep_lonely=False)
    assert len(survivors) == 3
    assert [int(np.searchsorted([5, 9, 15], s, side="right")) for s in survivors] == [0, 1, 2]


def test_who_is_like_no_other_is_dropped_or_kept() -> None:
    means = np.concatenate([blobs([6, 6]), [[5000.0, 0, 0]]])
    assert 12 not in nearest_of_each(means, 2, keep_lonely=False)
    assert 12 in nearest_of_each(means, 2, keep_lonely=True)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_groups_all_stay(count: int) -> None:
    assert nearest_of_each(np.ones((count, 3)), 2, False).tolist() == list(range(count))


def test_where_no_cluster_is_found_all_stay() -> None:
    # Two points are no cluster to HDBSCAN; the released code would aggregate nobody.
    assert nearest_of_each(np.array([[0.0, 0], [9, 9]]), 2, False).tolist() == [0, 1]


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 99))
def test_farthest_first_is_within_twice_the_best_cover(points: int, count: int, seed: int) -> None:
    cloud = np.random.default_rng(seed).standard_normal((points, 2))
    taken = farthest_first(cloud, count)
    assert len(taken) == min(points, count)

    def radius(centres: tuple[int, ...] | np.ndarray) -> float:
        distances = np.linalg.norm(cloud[:, None] - cloud[list(centres)][None], axis=2)
        return float(distances.min(axis=1).max())

    best = min(radius(centres) for centres in itertools.combinations(range(points), min(points, count)))
    assert radius(taken) <= 2 * best + 1e-9


def test_equal_points_are_taken_once() -> None:
    assert len(farthest_first(np.ones((5, 2)), 3)) == 1
    assert farthest_first(np.zeros((0, 2)), 3).tolist() == []
