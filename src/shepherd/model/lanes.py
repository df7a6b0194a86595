"""Several computations at once on a CPU, each in a thread with its share of the cores.

The products of one micro-batch are too small to keep several cores busy; two micro-batches side by side, each
on its own core, are done sooner than one after the other on both. Results come in the order of the items, and
an item's number of cores depends on how many items there are, never on who is faster: the bits stay the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_lanes(function: Callable[[Item], Result], items: Sequence[Item], most: int) -> Iterator[Result]:
    """Yield ``function(item)`` of every item, in order.

    Parameters
    ----------
    function : callable
        Called in several threads at once; torch's modes (``no_grad``) are the thread's own, so it enters its own.
    items : sequence
        What to call it with.
    most : int
        How many at once, at most; never more than torch has threads.
    """
    cores = torch.get_num_threads()
    lanes = min(len(items), cores, most)
    if lanes < 2:
        yield from map(function, items)
        return

    def on_its_cores(item: Item) -> Result:
        """Compute with a lane's share of the cores."""
        torch.set_num_threads(cores // lanes)  # a setting of the thread
        return function(item)

    pool = ThreadPoolExecutor(lanes)
    try:
        yield from pool.map(on_its_cores, items)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(cores)
