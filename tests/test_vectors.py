"""What is computed part by part is what is computed at once."""

from __future__ import annotations

import math

import pytest
import torch

from shepherd.vectors import norm, part_by_part

LENGTHS = [0, 1, 1 << 16, (1 << 16) + 1, (1 << 19) + 3]


def drawn(length: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(length, generator=torch.Generator().manual_seed(length), dtype=dtype)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_formula_gives_the_same_bits_as_on_the_whole(length: int) -> None:
    one, other = drawn(length), drawn(length, torch.float64)

    def formula(one: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return one * 3 + other / 7, (one.abs() + 1).sqrt()

    kept = one.clone(), other.clone()
    found = part_by_part(formula, one, other)
    for part, whole in zip(found, formula(one, other), strict=True):
        assert torch.equal(part, whole.float())
        assert part.dtype == torch.float32
    assert torch.equal(one, kept[0])
    assert torch.equal(other, kept[1])


def test_results_do_not_share_memory_with_what_was_given() -> None:
    given = drawn(10)
    (found,) = part_by_part(lambda part: (part,), given)
    found.add_(1)
    assert torch.equal(given, drawn(10))


@pytest.mark.parametrize("length", LENGTHS)
def test_the_norm_is_summed_in_float64(length: int) -> None:
    vector = drawn(length)
    assert norm(vector) == pytest.approx(float(vector.double().norm()), rel=1e-12)
    if length:
        vector[-1] = float("nan")
        assert math.isnan(norm(vector))


def test_the_norm_of_huge_values_does_not_overflow() -> None:
    assert norm(torch.full((4,), 3e38)) == pytest.approx(6e38)
