"""A cohort whose updates stand for everybody's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from pydantic import Field

from shepherd.model.adapter import Adapter
from shepherd.participation.base import Candidates, Report
from shepherd.participation.counted import CountedParticipation
from shepherd.randomness import generator, torch_generator
from shepherd.tree import Tree


class DivFL(CountedParticipation):
    """The cohort S that greedily minimises ``sum_k min_{i in S} |g_k - g_i|``, facility location on last updates.

    Balakrishnan et al., ICLR 2022 (openreview nwKXyFvaUm). An update g_k is remembered as a few sums of
    its entries with random signs, whose distances are those of the updates in expectation (Charikar et al., 2002).
    Of clients that never took part there is no update; they come first. Who was chosen last time and of whom nothing
    came is chosen again as often as by chance, until something does.

    Attributes
    ----------
    width : int
        How many numbers are remembered of an update.
    explore : float
        Share of a cohort, in (0, 1], that goes to clients which never took part, while there are any.
    compared : int
        How many clients a greedy step chooses among, drawn at random where there are more (stochastic greedy,
        Mirzasoleiman et al., arXiv 1409.7938).
    """

    name: str = "divfl"
    width: int = Field(64, gt=0)
    explore: float = Field(1.0, gt=0, le=1)
    compared: int = Field(1000, gt=0)

    def select(self, candidates: Candidates, state: Tree) -> list[int]:
        """Take new clients first, then those whose updates stand best for all; in ascending order of number."""
        wanted, pool = self.invited(candidates), candidates.pool
        seen = [int(client) for client in state.get("clients", [])]
        able, known, silent = set(pool), set(seen), set(map(int, state.get("silent", [])))
        new = [client for client in pool if client not in known and client not in silent]
        again = [client for client in pool if client in silent]
        old = [place for place, client in enumerate(seen) if client in able and client not in silent]
        fresh = min(len(new), max(math.ceil(self.explore * wanted), wanted - len(old) - len(again)))
        draw = generator(candidates.seed, "participation", candidates.round)
        chosen = [new[place] for place in draw.choice(len(new), size=fresh, replace=False)]
        if again:
            retried = draw.hypergeometric(len(again), len(old), wanted - fresh)
            chosen += [again[place] for place in draw.choice(len(again), size=retried, replace=False)]
        if len(chosen) < wanted:
            places = self._standing_for_all(state["sketches"], old, wanted - len(chosen), candidates)
            chosen += [seen[place] for place in places]
        return sorted(chosen)

    def sketch(self, update: Adapter, seed: int) -> torch.Tensor:
        """Return sums of the update's entries with random signs, [width]."""
        count = update.parameters
        rows = -(-count // self.width)
        signed = torch.zeros(rows * self.width, dtype=torch.float32)
        torch.mul(update.vector, _signs(count, seed), out=signed[:count])
        return signed.view(rows, self.width).sum(0, dtype=torch.float64).float()

    def observe(self, candidates: Candidates, reports: Sequence[Report], state: Tree) -> Tree:
        """Put the cohort's sketches in the place of their older ones, and remember of whom nothing came."""
        known = dict(zip(map(int, state.get("clients", [])), state.get("sketches", []), strict=True))
        known |= {report.client: report.sketch for report in reports if report.sketch is not None}
        silent = {*map(int, state.get("silent", [])), *candidates.silent}
        silent -= {report.client for report in reports}
        found = {"silent": torch.tensor(sorted(silent))} if silent else {}
        if known:
            clients = sorted(known)
            found["clients"] = torch.tensor(clients)
            found["sketches"] = torch.stack([known[client] for client in clients])
        return found

    def _standing_for_all(
        self, sketches: torch.Tensor, places: Sequence[int], count: int, candidates: Candidates
    ) -> list[int]:
        """Choose so many of the rows at `places`, one after another, each the one by which the sum falls most."""
        points = sketches.double()
        left, chosen = list(places), list[int]()
        nearest = torch.full((len(points),), torch.inf, dtype=torch.float64)
        draw = generator(candidates.seed, "participation", candidates.round, "greedy")
        for _ in range(count):
            looked_at = left
            if len(left) > self.compared:
                looked_at = [left[place] for place in sorted(draw.choice(len(left), self.compared, False))]
            distances = torch.cdist(
                points, points[looked_at], compute_mode="donot_use_mm_for_euclid_dist"
            ).minimum(nearest[:, None])
            best = int(distances.sum(0).argmin())
            nearest = distances[:, best]
            chosen.append(looked_at[best])
            left.remove(looked_at[best])
        return chosen


@lru_cache(maxsize=1)
def _signs(count: int, seed: int) -> torch.Tensor:
    """Return so many signs of the seed's, one byte each."""
    drawn = torch.randint(0, 2, (count,), generator=torch_generator(seed, "sketch"), dtype=torch.int8)
    return drawn * 2 - 1
