"""The processes of a site as threads of this one, so that what they tell one another can be seen."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from shepherd.deploy.site import Site
from shepherd.deploy.team import Team, follow
from shepherd.tree import from_bytes, to_bytes
from side_by_side import SideBySide


@dataclass(frozen=True)
class Beside(SideBySide):
    """A process that is a thread; `orders` holds what the first one told."""

    orders: list[Any] = field(default_factory=list)

    def tell(self, tree: Any = None) -> Any:
        if self.main:
            self.orders.append(tree)
        return self._met(tree, lambda found: from_bytes(to_bytes(found[0])))


@contextmanager
def team_of_two(other: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Team, list[Any]]]:
    """Have `other` follow in a thread; give the first one's team, and what is ordered."""
    monkeypatch.setattr("shepherd.deploy.team.signal.signal", lambda *_: None)  # of a main thread only
    meeting, table = threading.Barrier(2, timeout=120), dict[int, Any]()
    first = Beside(0, 2, meeting=meeting, table=table)

    def be_the_second() -> None:
        """Follow, and leave nobody waiting who cannot be met any more."""
        try:
            follow(Beside(1, 2, meeting=meeting, table=table), other)
        except BaseException:
            meeting.abort()
            raise

    thread = threading.Thread(target=be_the_second)
    thread.start()
    try:
        team = Team(first)
        yield team, first.orders
        team.dismiss()
    except BaseException:
        meeting.abort()
        raise
    finally:
        thread.join()
