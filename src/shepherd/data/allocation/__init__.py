"""Client data allocation: who holds which instructions. One scheme per file."""

from __future__ import annotations

from typing import Any

from shepherd.data.allocation.base import Allocated, Allocation
from shepherd.data.allocation.by_field import ByField
from shepherd.data.allocation.dirichlet import Dirichlet
from shepherd.data.allocation.drawn import Drawn
from shepherd.data.allocation.files import ClientFiles
from shepherd.data.allocation.iid import Iid
from shepherd.data.allocation.shards import Shards
from shepherd.strategy import one_of

#: The config field ``allocation``: one of Shepherd's schemes, or a dotted path to another.
AllocationChoice: Any = one_of(Allocation, Shards, Dirichlet, Iid, ByField, Drawn, ClientFiles)

__all__ = [
    "Allocated",
    "Allocation",
    "AllocationChoice",
    "ByField",
    "ClientFiles",
    "Dirichlet",
    "Drawn",
    "Iid",
    "Shards",
]
