from __future__ import annotations

import threading
import time

import pytest
import torch

from shepherd.model.lanes import in_lanes


@pytest.fixture(autouse=True)
def four_threads() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("most", [1, 2, 3, 9])
def test_results_come_in_order_however_long_each_takes(most: int) -> None:
    def slow(item: int) -> int:
        time.sleep(0.01 * (item % 3))
        return item

    assert list(in_lanes(slow, range(7), most)) == list(range(7))


@pytest.mark.parametrize(("items", "most", "expected"), [(8, 4, 1), (2, 4, 2), (3, 4, 1), (9, 2, 2)])
def test_the_cores_are_shared_out_and_given_back(items: int, most: int, expected: int) -> None:
    seen = list(in_lanes(lambda _: torch.get_num_threads(), range(items), most))
    assert seen == [expected] * items
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize(("items", "most"), [(1, 4), (3, 1), (0, 4)])
def test_what_cannot_go_side_by_side_stays_in_this_thread(items: int, most: int) -> None:
    threads = set(in_lanes(lambda _: threading.get_ident(), range(items), most))
    assert threads <= {threading.get_ident()}


def test_an_error_comes_out_and_the_cores_come_back() -> None:
    def fail(item: int) -> int:
        if item == 2:
            raise ValueError("two")
        return item

    with pytest.raises(ValueError, match="two"):
        list(in_lanes(fail, range(6), 4))
    assert torch.get_num_threads() == 4
