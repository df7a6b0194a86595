from __future__ import annotations

import numpy as np
import pytest
import torch
from compressions import compressed, received, seeds, update_of
from hypothesis import given, settings
from hypothesis import strategies as st

from shepherd.model.adapter import Adapter
from shepherd.transforms import Half, Quantise
from shepherd.transforms.bits import (
    count_places,
    most_gap_bytes,
    pack,
    packed_bytes,
    read_gaps,
    unpack,
    write_gaps,
)

BITS = [8, 4, 2, 1]


@pytest.mark.parametrize("bits", BITS)
def test_the_mean_of_many_draws_is_the_value_itself(bits: int) -> None:
    draws, values = 20_000, torch.randn(8, generator=torch.Generator().manual_seed(0))
    # Every block holds the same values, so that each is a draw.
    update, rule = Adapter({"a": values.repeat(draws)}), Quantise(bits=bits, block=8)
    found = received(rule, compressed(rule, update).message, update)["a"].view(draws, 8).double()
    # The variance between two levels d apart is at most d^2 / 4; six of the mean's deviations.
    apart = 2 * float(values.abs().max()) / (1 if bits == 1 else 2**bits - 2)
    assert float((found.mean(dim=0) - values).abs().max()) <= 6 * apart / 2 / draws**0.5
    assert bits == 8 or float(found.std(dim=0).max()) > 0.1 * apart


@pytest.mark.parametrize("bits", BITS)
@settings(max_examples=30)
@given(seed=seeds, size=st.floats(1e-30, 1e30), block=st.integers(8, 70))
def test_a_value_goes_to_one_of_the_two_levels_beside_it(
    bits: int, seed: int, size: float, block: int
) -> None:
    update, rule = update_of([[7, 11]], seed, size), Quantise(bits=bits, block=block)
    message = compressed(rule, update, seed).message
    found = received(rule, message, update).vector.double()
    scales = message["scales"].repeat_interleave(block)[:77].double()
    assert bool((found.abs() <= scales).all())
    steps = 1 if bits == 1 else 2**bits - 2
    # One step is 2 / steps of the scale, and everything is computed in float32.
    assert bool(((found - update.vector.double()).abs() <= scales * (2 / steps + 1e-5)).all())


def test_of_several_bits_zero_and_the_extremes_are_exact() -> None:
    update = Adapter({"a": torch.tensor([0.0, 3.0, -3.0, 0.0, 0.0, 0.0, 0.0, 0.0])})
    for bits in (8, 4, 2):
        rule = Quantise(bits=bits, block=8)
        assert torch.equal(received(rule, compressed(rule, update).message, update)["a"], update["a"])


def test_one_bit_is_a_sign_with_the_blocks_scale() -> None:
    update, rule = update_of([[64]], size=1.0), Quantise(bits=1, block=64)
    found = received(rule, compressed(rule, update).message, update).vector
    assert torch.equal(found.abs(), torch.full((64,), float(update.vector.abs().max())))


@given(st.integers(0, 70), seeds, st.sampled_from(BITS))
def test_codes_come_back_from_their_bytes(count: int, seed: int, bits: int) -> None:
    codes = torch.from_numpy(np.random.default_rng(seed).integers(0, 2**bits, count).astype(np.uint8))
    packed = pack(codes, bits)
    assert len(packed) == packed_bytes(count, bits) == -(-count * bits // 8)
    found, rest = unpack(packed, count, bits)
    assert torch.equal(found, codes)
    assert not rest.any()


@given(st.sets(st.integers(0, 5000), max_size=60))
def test_places_come_back_from_their_gaps(places: set[int]) -> None:
    ordered = np.array(sorted(places), dtype=np.int64)
    written = write_gaps(ordered)
    assert len(written) <= most_gap_bytes(len(places), 5001)
    assert count_places(written) == len(places)
    np.testing.assert_array_equal(read_gaps(written), ordered)


@given(seeds, st.integers(-100, 100))
def test_float16_keeps_eleven_bits_whatever_the_size(seed: int, exponent: int) -> None:
    update = update_of([[4, 9]], seed) * 2.0**exponent
    found = received(Half(), compressed(Half(), update).message, update).vector
    largest = float(update.vector.abs().max())
    error = (found - update.vector).double().abs()
    assert bool((error <= update.vector.double().abs() * 2**-11 + largest * 2.0**-39).all())


def test_bfloat16_is_torchs() -> None:
    update, rule = update_of([[50]]), Half(dtype="bfloat16")
    assert torch.equal(received(rule, compressed(rule, update).message, update)["0"], update["0"].bfloat16())
