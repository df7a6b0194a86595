"""Everybody in turn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from shepherd.participation.base import Candidates, Report
from shepherd.participation.counted import CountedParticipation
from shepherd.randomness import generator
from shepherd.tree import Tree


class RoundRobin(CountedParticipation):
    """Every client once before anybody again, in a new random order in every pass.

    Who was chosen least often goes first; the seed's permutation of the pass decides among them. So who cannot be
    chosen for some rounds, or comes late to the federation, catches up.
    """

    name: str = "round_robin"

    def select(self, candidates: Candidates, state: Tree) -> list[int]:
        """Return whose turn it is, in ascending order of client number."""
        counts, pool = _counts(candidates, state), np.asarray(candidates.pool, dtype=np.int64)
        wanted, chosen = self.invited(candidates), list[int]()
        for turns in np.unique(counts[pool]):
            due = np.zeros(len(counts), dtype=bool)
            due[pool] = counts[pool] == turns
            order = generator(candidates.seed, "participation", "pass", int(turns)).permutation(len(counts))
            chosen += [int(client) for client in order[due[order]][: wanted - len(chosen)]]
            if len(chosen) == wanted:
                break
        return sorted(chosen)

    def observe(self, candidates: Candidates, reports: Sequence[Report], state: Tree) -> Tree:
        """Count who took part, whether or not something came of it: who never answers keeps nobody's place."""
        counts = _counts(candidates, state)
        counts[[*(report.client for report in reports), *candidates.silent]] += 1
        return {"turns": torch.from_numpy(counts)}


def _counts(candidates: Candidates, state: Tree) -> np.ndarray:
    """Return how often every client was chosen, [clients]."""
    clients = len(candidates.sizes)
    return state["turns"].numpy().copy() if "turns" in state else np.zeros(clients, dtype=np.int32)
