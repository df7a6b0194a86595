from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from shepherd.randomness import generator, torch_generator, torch_seed

addresses = st.tuples(st.integers(0, 2**40), st.text(max_size=8), st.integers(0, 99), st.integers(0, 99))


@given(addresses, addresses)
def test_an_address_has_its_own_stream(one: tuple, other: tuple) -> None:  # type: ignore[type-arg]
    first, second = (generator(*address).integers(2**62, size=4).tolist() for address in (one, other))
    assert (first == second) == (one == other)


def test_drawing_at_one_address_moves_no_other() -> None:
    expected = generator(1, "order", 2).random(5)
    generator(1, "order", 1).random(1000)
    np.testing.assert_array_equal(generator(1, "order", 2).random(5), expected)


def test_addresses_do_not_run_into_one_another() -> None:
    draws = {generator(0, "a", *rest).integers(2**62) for rest in ((1, 23), (12, 3), ("1", "2", 3), (123,))}
    assert len(draws) == 4


def test_torch_follows_the_same_address() -> None:
    draw = torch.rand(3, generator=torch_generator(5, "noise", 1))
    again = torch.rand(3, generator=torch.Generator().manual_seed(torch_seed(5, "noise", 1)))
    assert torch.equal(draw, again)
    assert 0 <= torch_seed(5, "noise", 1) < 2**63


def test_the_global_generators_are_left_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    torch_generator(0, "x")
    generator(0, "x").random()
    assert torch.equal(torch.get_rng_state(), before)
