"""Processes that are threads, so that what two of them do can be seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from shepherd.processes import Processes


@dataclass(frozen=True)
class SideBySide(Processes):
    """One of them; all have the same barrier to meet at, and the same table to leave things on."""

    meeting: Any = None
    table: Any = None

    def gather(self, tree: Any) -> list[Any]:
        return self._met(tree, list)

    def add_up(self, value: Any) -> Any:
        return self._met(
            value,
            lambda found: replace(
                value, **{each.name: sum(getattr(one, each.name) for one in found) for each in fields(value)}
            ),
        )

    def _met(self, own: Any, make: Callable[[list[Any]], Any]) -> Any:
        """Make something of what everybody brings, before anybody changes it."""
        self.table[self.rank] = own
        self.meeting.wait()
        made = make([self.table[rank] for rank in range(self.count)])
        self.meeting.wait()
        return made
