from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from shepherd.coreset.frames import by_pca, by_tsne, random_directions


def test_pca_is_scikit_learns() -> None:
    points = np.random.default_rng(0).standard_normal((30, 7)).astype(np.float32)
    np.testing.assert_allclose(by_pca(points, 2), PCA(2).fit_transform(points), atol=1e-4)


@pytest.mark.parametrize("reduce", [by_pca, lambda points, dimensions: by_tsne(points, dimensions, 0)])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_few_or_equal_examples_make_a_map_of_numbers(reduce: object, count: int) -> None:
    draw = np.random.default_rng(0)
    for points in (draw.standard_normal((count, 6)), np.ones((count, 6))):
        found = reduce(points, 2)  # type: ignore[operator]
        assert found.shape == (count, 2)
        assert np.isfinite(found).all()


def test_the_same_seed_gives_the_same_map_whatever_the_number_of_threads() -> None:
    points = np.random.default_rng(0).standard_normal((150, 6))
    with threadpool_limits(1):
        one = by_tsne(points, 2, 1)
    np.testing.assert_array_equal(one, by_tsne(points, 2, 1))


def test_random_directions_keep_lengths_and_are_everybodys() -> None:
    points = np.random.default_rng(0).standard_normal((200, 500))
    directions = random_directions(500, 64, 7)
    ratio = np.linalg.norm(points @ directions, axis=1) / np.linalg.norm(points, axis=1)
    assert ratio.mean() == pytest.approx(1, abs=0.05)
    np.testing.assert_array_equal(directions, random_directions.__wrapped__(500, 64, 7))
    assert not np.allclose(directions, random_directions(500, 64, 8))
