from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shepherd.model.adapter import Adapter
from shepherd.transforms import Clip

RNG = np.random.default_rng(0)

sizes = st.floats(1e-3, 1e3)
seeds = st.integers(0, 2**32 - 1)


def random_update(seed: int, norm: float) -> Adapter:
    draw = torch.Generator().manual_seed(seed)
    update = Adapter({"a": torch.randn(3, 4, generator=draw), "b": torch.randn(5, generator=draw)})
    return update * (norm / update.norm())


@given(seeds, sizes, sizes)
def test_a_long_update_is_shortened_along_its_direction(seed: int, length: float, norm: float) -> None:
    update = random_update(seed, length)
    clipped = Clip(norm=norm).client(update, RNG)
    assert clipped.norm() == pytest.approx(min(update.norm(), norm), rel=1e-6)
    assert (clipped * (1 / clipped.norm()) - update * (1 / update.norm())).norm() < 1e-5


@given(seeds, sizes, st.floats(1.001, 1e3))
def test_a_short_update_passes_bit_for_bit(seed: int, length: float, slack: float) -> None:
    update = random_update(seed, length)
    assert Clip(norm=length * slack).client(update, RNG).to_bytes() == update.to_bytes()


def test_the_norm_is_over_all_tensors_together() -> None:
    update = Adapter({"a": torch.tensor([3.0]), "b": torch.tensor([4.0])})
    clipped = Clip(norm=1).client(update, RNG)
    np.testing.assert_allclose([clipped["a"].item(), clipped["b"].item()], [0.6, 0.8], rtol=1e-6)


def test_no_update_stays_no_update() -> None:
    zero = Adapter({"a": torch.zeros(3)})
    assert Clip(norm=1e-3).client(zero, RNG).norm() == 0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_update_that_is_not_finite_is_not_hidden(value: float) -> None:
    update = Adapter({"a": torch.tensor([1.0, value])})
    assert not math.isfinite(Clip(norm=1).client(update, RNG).norm())


def test_the_server_changes_nothing() -> None:
    update = random_update(0, 50.0)
    assert Clip(norm=1).server(update, RNG) is update


def test_a_norm_of_zero_is_refused() -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        Clip(norm=0)
