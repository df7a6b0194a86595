"""What is dealt by category, where there is one."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from shepherd.data.allocation import Dirichlet, Drawn, Iid, Shards
from shepherd.data.allocation.base import Allocation
from shepherd.data.instructions import Instructions


@pytest.mark.parametrize(
    "scheme",
    [Dirichlet(clients=2, min_examples=2), Shards(clients=2), Drawn(clients=2, alpha=1.0)],
    ids=lambda scheme: scheme.name,
)
def test_one_category_to_deal_by_is_said(
    build: Callable[[list[str]], Instructions], scheme: Allocation, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        scheme.allocate(build(["a", "b"] * 20), 0)
        assert not caplog.records
        scheme.allocate(build(["a"] * 40), 0)
    (said,) = [record.getMessage() for record in caplog.records]
    assert f"of one category ('a'), so allocation.name={scheme.name} gives every client the same kind" in said


@pytest.mark.parametrize("scheme", [Iid(clients=2), Drawn(clients=2)], ids=lambda scheme: scheme.name)
def test_who_does_not_deal_by_category_says_nothing(
    build: Callable[[list[str]], Instructions], scheme: Allocation, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        scheme.allocate(build(["a"] * 40), 0)
    assert not caplog.records
