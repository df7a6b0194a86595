from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from shepherd.coreset import KMeans
from shepherd.coreset.kmeans import nearest_to_centres
from shepherd.data.population import ClientView
from shepherd.messages import ClientJob
from shepherd.model.adapted import AdaptedModel


def test_one_of_every_blob() -> None:
    draw = np.random.default_rng(0)
    points = np.concatenate([draw.normal(50 * k, 1, (9, 4)) for k in range(3)])
    found = nearest_to_centres(points, 3, 0)
    assert (found // 9).tolist() == [0, 1, 2]
    for place, start in zip(found, (0, 9, 18), strict=True):
        blob = points[start : start + 9]
        assert place == start + np.linalg.norm(blob - blob.mean(0), axis=1).argmin()


@pytest.mark.parametrize(
    ("points", "count", "most"), [(np.ones((5, 2)), 3, 1), (np.eye(2), 9, 2), (np.eye(1), 1, 1)]
)
def test_never_more_than_there_are(points: np.ndarray, count: int, most: int) -> None:
    assert len(nearest_to_centres(points, count, 0)) <= most


def test_a_client_chooses_once_and_tells_nobody(
    view: Callable[..., ClientView], job: Callable[..., ClientJob], model: AdaptedModel
) -> None:
    rule = KMeans(count=5)
    summary = rule.summarise(view(), job(), model)
    assert summary.wire_bytes == 0
    again = rule.summarise(view(), job(round=7, kept=summary.kept), model)
    assert again.kept is not None
    assert again.kept["round"] == 0
    rows = rule.examples(view(), job(kept=summary.kept), model)
    assert 1 <= len(rows) <= 5
    assert set(rows) <= set(range(20, 60))
