from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from shepherd.coreset import Cohort
from shepherd.coreset.means import Means, to_message
from shepherd.errors import ShepherdError

COHORT = Cohort(0, 0, [4, 7], ["four", "seven"], [3, 2])


def test_they_come_in_the_cohorts_order_and_go_back_to_their_owners() -> None:
    messages = {7: to_message(np.ones((2, 5))), 4: to_message(np.zeros((3, 5)))}
    means = Means.read(COHORT, messages, 5)
    assert means.values.tolist() == [[0.0] * 5] * 3 + [[1.0] * 5] * 2
    assert means.choices(np.array([4, 2, 0])) == {4: [0, 2], 7: [1]}
    assert means.choices(np.array([3])) == {7: [0]}


def test_a_client_without_groups_says_nothing() -> None:
    means = Means.read(COHORT, {4: to_message(np.zeros((0, 5))), 7: to_message(np.ones((1, 5)))}, 5)
    assert means.clients.tolist() == [7]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({}, "no matrix"),
        ({"means": [[1.0]]}, "no matrix"),
        ({"means": torch.zeros(5)}, "no matrix"),
        ({"means": torch.zeros(2, 5, dtype=torch.float64)}, "no matrix"),
        ({"means": torch.zeros(2, 6)}, "width 6, not 5"),
        ({"means": torch.zeros(1_000_000, 5)}, "1,000,000 groups of 2 examples"),
        ({"means": torch.tensor([[0.0, 1.0, 2.0, 3.0, float("nan")]])}, "not finite"),
        ({"means": torch.tensor([[0.0, 1.0, 2.0, 3.0, float("inf")]])}, "not finite"),
    ],
)
def test_a_message_no_honest_client_sends_is_refused_by_name(message: Any, said: str) -> None:
    with pytest.raises(ShepherdError, match=f"Client 'seven'.*{said}"):
        Means.read(COHORT, {4: to_message(np.zeros((1, 5))), 7: message}, 5)
