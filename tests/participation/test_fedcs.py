from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shepherd.errors import ShepherdError
from shepherd.participation import Candidates, FedCS, Random


class Devices:
    def __init__(self, seconds: list[float]) -> None:
        self.seconds = seconds

    def available(self, client: int) -> bool:
        return True

    def expected_seconds(self, client: int, examples: int) -> float:
        return self.seconds[client] * examples


def greedy(seconds: dict[int, float], deadline: float) -> list[int]:
    """Add the client with the least extra round time while the deadline holds, as the paper puts it."""
    left, chosen, lasts = dict(seconds), list[int](), 0.0
    while left:
        client = min(left, key=lambda one: max(lasts, left[one]) - lasts)
        after = max(lasts, left.pop(client))
        if after <= deadline:
            chosen, lasts = [*chosen, client], after
    return sorted(chosen)


@given(
    seconds=st.lists(st.floats(0.1, 10), min_size=1, max_size=12),
    deadline=st.floats(0.1, 20),
    fraction=st.floats(0.1, 1),
)
def test_as_many_as_the_deadline_allows_of_those_that_are_drawn(
    seconds: list[float], deadline: float, fraction: float
) -> None:
    sizes = [1 + client % 3 for client in range(len(seconds))]
    candidates = Candidates(2, 0, sizes, devices=Devices(seconds))
    drawn = Random(fraction=fraction).select(candidates, {})
    expected = greedy({client: seconds[client] * sizes[client] for client in drawn}, deadline)
    assert FedCS(fraction=fraction, deadline_s=deadline).select(candidates, {}) == expected


def test_without_devices_it_is_refused() -> None:
    with pytest.raises(ShepherdError, match="needs a system that says how fast devices are"):
        FedCS(count=1, deadline_s=1).select(Candidates(0, 0, [1]), {})


def test_devices_are_a_protocol_that_any_object_may_follow() -> None:
    devices: Any = Devices([1.0])
    assert FedCS(count=1, deadline_s=1).select(Candidates(0, 0, [1], devices=devices), {}) == [0]
