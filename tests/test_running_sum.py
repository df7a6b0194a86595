"""A sum that is taken a few vectors at a time is, bit for bit, the one taken vector by vector."""

from __future__ import annotations

import pytest
import torch

import shepherd.running_sum
from shepherd.running_sum import RunningSum


def one_at_a_time(vectors: list[torch.Tensor], weights: list[float]) -> torch.Tensor:
    total = torch.zeros(len(vectors[0]), dtype=torch.float64)
    for vector, weight in zip(vectors, weights, strict=True):
        total.add_(vector.double(), alpha=weight)
    return total


@pytest.mark.parametrize("length", [1, 100, 16_384, 40_001])
@pytest.mark.parametrize("count", [1, 3, 150])
@pytest.mark.parametrize("part", [1 << 14, 1 << 19])
def test_it_is_the_sum_taken_one_at_a_time(
    length: int, count: int, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shepherd.running_sum, "SUMMED_PART", part)
    torch.manual_seed(length + count)
    vectors = [torch.randn(length) for _ in range(count)]
    weights = torch.rand(count).tolist()
    found = RunningSum.zeros(length)
    for vector, weight in zip(vectors, weights, strict=True):
        found.add(vector, weight)
    expected = one_at_a_time(vectors, weights)
    assert torch.equal(found.value, expected)
    assert torch.equal(found.over(3.7), (expected / 3.7).float())


def test_it_may_be_read_in_the_middle() -> None:
    vectors = [torch.randn(50) for _ in range(5)]
    found = RunningSum.zeros(50)
    for number, vector in enumerate(vectors):
        found.add(vector, 0.5)
        assert torch.equal(found.value, one_at_a_time(vectors[: number + 1], [0.5] * (number + 1)))


def test_few_large_vectors_wait_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shepherd.running_sum, "_WAITING_BYTES", 4 * 50 * 3)
    found = RunningSum.zeros(50)
    for number in range(7):
        found.add(torch.ones(50), 1.0)
        assert len(found._waiting) == (number + 1) % 3
    assert found.value.tolist() == [7.0] * 50
