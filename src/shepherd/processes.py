"""The processes of one run, as torchrun starts them: which this one is, and what they tell one another.

Every process goes round the same loop with its own share of the cohort. The first one, `main`, alone
evaluates, writes and talks. Nothing here knows what a round is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from shepherd.errors import ShepherdError, first_line
from shepherd.running_sum import RunningSum
from shepherd.torchrun import started_by_torchrun
from shepherd.tree import Tree, from_bytes, to_bytes

T = TypeVar("T")
_JOINING = timedelta(minutes=5)
_PATIENCE = timedelta(hours=12)  # a process may train for long while the others wait


class ProcessLost(ShepherdError):
    """Another process has ended, or does not do the same, so what is done together cannot go on."""


@dataclass(frozen=True)
class Processes:
    """One process among `count`; on its own it talks to nobody.

    Attributes
    ----------
    rank, count : int
        Which process this is, and how many there are.
    group : ProcessGroup, optional
        What they talk through.
    """

    rank: int = 0
    count: int = 1
    group: Any = None

    @property
    def main(self) -> bool:
        """Whether this process is the one that evaluates, writes and talks."""
        return self.rank == 0

    def share(self, work: Sequence[float]) -> list[int]:
        """Return the places in `work` that are this process's, in ascending order.

        The longest go first, each to whoever has least so far, as in pfl-research (arXiv 2404.06430).
        """
        loads, mine = [0.0] * self.count, []
        for place in sorted(range(len(work)), key=lambda place: -work[place]):
            least = loads.index(min(loads))
            loads[least] += work[place]
            if least == self.rank:
                mine.append(place)
        return sorted(mine)

    def wait(self) -> None:
        """Wait until every process is here."""
        self.gather({})

    def tell(self, tree: Tree | None = None) -> dict[str, Any]:
        """Return, in every process, the tree that the main one gives."""
        if self.count == 1:
            return dict(tree or {})
        data = torch.frombuffer(bytearray(to_bytes(tree or {})), dtype=torch.uint8)
        size = torch.tensor([len(data)])
        with _deaths_said():
            dist.broadcast(size, src=0, group=self.group)
            data = data if self.main else torch.zeros(int(size), dtype=torch.uint8)
            dist.broadcast(data, src=0, group=self.group)
        return from_bytes(data.numpy().tobytes())

    def gather(self, tree: Tree) -> list[dict[str, Any]]:
        """Return what every process gave, by rank."""
        if self.count == 1:
            return [dict(tree)]
        data = torch.frombuffer(bytearray(to_bytes(tree)), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.count)]
        with _deaths_said():
            dist.all_gather(sizes, torch.tensor([len(data)]), group=self.group)
            longest = int(max(sizes))
            padded = torch.zeros(longest, dtype=torch.uint8)
            padded[: len(data)] = data
            found = [torch.zeros(longest, dtype=torch.uint8) for _ in range(self.count)]
            dist.all_gather(found, padded, group=self.group)
        return [
            from_bytes(part[: int(size)].numpy().tobytes()) for part, size in zip(found, sizes, strict=True)
        ]

    def add_up(self, value: T) -> T:
        """Return a dataclass of running sums, tensors and numbers, each summed over all processes."""
        if self.count == 1:
            return value
        summed = {field.name: self._sum(getattr(value, field.name)) for field in fields(value)}  # type: ignore[arg-type]
        return replace(value, **summed)  # type: ignore[type-var]

    def _sum(self, part: Any) -> Any:
        """Return a running sum, a tensor or a number, summed over all processes."""
        if isinstance(part, RunningSum):
            return RunningSum(self._sum(part.value))
        is_tensor = isinstance(part, torch.Tensor)
        tensor = part.clone() if is_tensor else torch.tensor(part, dtype=torch.float64)
        with _deaths_said():
            dist.all_reduce(tensor, group=self.group)
        return tensor if is_tensor else type(part)(tensor.item())


@contextmanager
def joined(patience: timedelta = _PATIENCE) -> Iterator[Processes]:
    """Be one of the processes torchrun started, with a fair share of this machine's cores and its own GPU.

    Parameters
    ----------
    patience : timedelta
        How long a process waits for what another one is to give; one that has ended is noticed at once.

    Raises
    ------
    ShepherdError
        If the processes do not find one another.
    """
    rank, count = started_by_torchrun()
    if count == 1:
        yield Processes()
        return
    # Processes that spin on one another's cores are several times slower than one alone.
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", count))))
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
    try:
        dist.init_process_group("gloo", timeout=_JOINING)
        group = dist.new_group(timeout=patience)
    except (RuntimeError, ValueError) as error:
        raise ShepherdError(
            f"The {count} processes of this run did not find one another ({first_line(error)}); start them "
            "with torchrun."
        ) from error
    try:
        yield Processes(rank, count, group)
    finally:
        dist.destroy_process_group()


@contextmanager
def _deaths_said() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise ProcessLost(
            f"Another process has ended, so this one stops too ({first_line(error)}); what was finished is kept, "
            "and the same torchrun command (for a run, with --resume) goes on."
        ) from error
