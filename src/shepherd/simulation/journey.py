"""One client's way through a round on the virtual clock: receive, compute, send; and where it ended."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from shepherd.tree import Tree


@dataclass(frozen=True)
class Journey:
    """From the invitation of a client to its update's arrival; times in seconds.

    Attributes
    ----------
    begun : float
        When it was invited, on the clock.
    download, compute, upload : float
        How long each part takes.
    leaves : float
        How long after its invitation the client is lost; infinity if it is not.
    tokens : float
        What it trains on.
    bytes_down, bytes_up : int
        What it is sent, and what it sends.
    """

    begun: float
    download: float
    compute: float
    upload: float
    leaves: float
    tokens: float
    bytes_down: int
    bytes_up: int

    @property
    def needed(self) -> float:
        """How long all of it takes."""
        return self.download + self.compute + self.upload

    @property
    def arrives(self) -> bool:
        """Whether the client stays long enough for its update to arrive, should the server still want it."""
        return self.leaves >= self.needed

    @property
    def ends(self) -> float:
        """When its update is there, or the client is gone, on the clock."""
        return self.begun + min(self.needed, self.leaves)

    def figures(self, fate: str, closed: float) -> dict[str, Any]:
        """Return what the metrics say of it, if the server wanted nothing more of it from `closed` on."""
        spent = max(0.0, min(self.ends, closed) - self.begun)
        if self.arrives and self.ends <= closed:
            spent = self.needed
        download = min(spent, self.download)
        compute = min(spent - download, self.compute)
        upload = min(max(0.0, spent - download - compute), self.upload)
        return {
            "fate": fate,
            "simulated_start_seconds": self.begun,
            "simulated_seconds": spent,
            "simulated_download_seconds": download,
            "simulated_compute_seconds": compute,
            "simulated_upload_seconds": upload,
        }

    def moved(self, closed: float) -> dict[str, int]:
        """Return how many bytes crossed, and tokens were computed, for an update that is not used."""
        done = self.figures("", closed)
        parts = (
            ("bytes_down", self.bytes_down, "download", self.download),
            ("bytes_up", self.bytes_up, "upload", self.upload),
            ("tokens", self.tokens, "compute", self.compute),
        )
        return {
            key: round(whole * _share(done[f"simulated_{part}_seconds"], needed))
            for key, whole, part, needed in parts
        }

    def to_tree(self) -> Tree:
        """Return it as JSON values."""
        return {**vars(self), "leaves": None if math.isinf(self.leaves) else self.leaves}

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> Self:
        """Undo `to_tree`."""
        return cls(**{**tree, "leaves": math.inf if tree["leaves"] is None else tree["leaves"]})


def _share(done: float, needed: float) -> float:
    return 1.0 if done >= needed else done / needed
