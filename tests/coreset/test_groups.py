from __future__ import annotations

import numpy as np
import pytest

from shepherd.coreset.groups import group


def cloud(*sizes: int) -> np.ndarray:
    draw = np.random.default_rng(0)
    return np.concatenate([draw.normal(50 * k, 1, (size, 2)) for k, size in enumerate(sizes)])


def test_members_stand_nearest_to_the_weighted_centre_first() -> None:
    points = cloud(12, 9)
    groups = group(points, 4, keep_lonely=False)
    assert len(groups) == 2
    for number, (members, weights) in enumerate(zip(groups.members, groups.weights, strict=True)):
        centre = (points[members] * weights[:, None]).sum(0) / weights.sum()
        distances = np.linalg.norm(points[members] - centre, axis=1)
        assert (np.diff(distances) >= 0).all()
        np.testing.assert_allclose(groups.means(points)[number], centre, rtol=1e-5)
        assert (groups.labels[members] == number).all()


def test_representatives_are_members_and_padded() -> None:
    groups = group(cloud(9, 6), 4, keep_lonely=False)
    found = groups.representatives(8)
    assert found.shape == (2, 8)
    for row, members in zip(found, groups.members, strict=True):
        assert row[row >= 0].tolist() == members[:8].tolist()


@pytest.mark.parametrize(
    "points", [np.zeros((1, 2)), np.zeros((2, 2)), np.zeros((9, 2)), cloud(3), cloud(2, 2)]
)
def test_who_has_examples_has_a_group(points: np.ndarray) -> None:
    groups = group(points, 5, keep_lonely=False)
    assert len(groups) >= 1
    assert np.isfinite(groups.means(points)).all()
    assert groups.representatives(1)[0, 0] >= 0


def test_the_lonely_are_dropped_or_groups_of_their_own() -> None:
    points = np.concatenate([cloud(10, 10), [[900.0, -900.0], [-700.0, 0.0]]])
    dropped = group(points, 5, keep_lonely=False)
    assert (dropped.labels[-2:] == -1).all()
    kept = group(points, 5, keep_lonely=True)
    assert len(kept) == len(dropped) + (dropped.labels < 0).sum()
    assert sorted(np.concatenate(kept.members)) == list(range(22))
