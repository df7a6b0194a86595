"""Participation of those who have most left to learn, among a few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from shepherd.participation.base import Candidates, Report
from shepherd.participation.drawing import drawn_by_weight
from shepherd.participation.drawn_first import DrawnFirst
from shepherd.randomness import generator
from shepherd.tree import Tree


class PowerOfChoice(DrawnFirst):
    """Of some clients drawn in proportion to their examples, those on whose examples the adapter does worst.

    Cho et al., arXiv 2010.01243: pow-d, with ``poll_examples`` cpow-d, with ``losses: last`` rpow-d.
    Converges faster, to a point that favours clients of high loss. Since large clients are drawn more often, the
    paper's average counts those that are chosen alike (``aggregation.weights=uniform``); by examples they count twice.

    Attributes
    ----------
    drawn : int, optional
        How many are drawn, d in the paper, from the cohort's size upwards; twice that unless told.
    losses : str
        ``polled``: each that is drawn is sent the adapter and says its loss. ``last``: its training loss of the last
        time it took part counts, at no cost; who never did comes first. Of whom nothing came when it was chosen
        last counts as the mean of those that are known.
    poll_examples : int, optional
        How many of its examples, drawn at random, a client that is polled looks at; all unless told.
    """

    name: str = "power_of_choice"
    losses: Literal["polled", "last"] = "polled"
    poll_examples: int | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _polls_what_it_counts(self) -> Self:
        if self.losses == "last" and self.poll_examples is not None:
            raise ValueError(
                "with losses=last nobody is polled; leave poll_examples out, or set losses=polled"
            )
        return self

    def suits(self, config: Any) -> None:
        """Refuse to poll where there is no cohort to choose: who is at work is asked in vain, who is not may wait."""
        super().suits(config)
        if self.losses == "polled" and config.system is not None and config.system.stale:
            raise ValueError(
                "participation.name=power_of_choice polls clients to choose a round's cohort, and "
                f"system.name={config.system.name} asks one client after another, at random; give it losses=last, or "
                "set participation.name=random participation.fraction=1.0, or system.name=synchronous"
            )

    def select(self, candidates: Candidates, state: Tree) -> list[int]:
        """Keep those of the highest loss, the first by number among equals; in ascending order of client number."""
        invited = self.invited(candidates)
        draw = generator(candidates.seed, "participation", candidates.round)
        sizes = [candidates.sizes[client] for client in candidates.pool]
        usual = min(2 * invited, len(candidates.pool))
        drawn = sorted(
            drawn_by_weight(draw, candidates.pool, sizes, self.drawing(candidates, invited, usual))
        )
        losses = self._losses(candidates, drawn, state)
        return sorted(sorted(losses, key=lambda client: (-losses[client], client))[:invited])

    def observe(self, candidates: Candidates, reports: Sequence[Report], state: Tree) -> Tree:
        """Remember the cohort's training losses, if they are what counts."""
        if self.losses == "polled":
            return state
        heard = {str(report.client): float(report.line["train_loss"]) for report in reports}
        # Else who never answers would be chosen again and again.
        silent = {*state.get("silent", []), *candidates.silent}
        silent -= {report.client for report in reports}
        return {"losses": {**state.get("losses", {}), **heard}, "silent": sorted(silent)}

    def _losses(self, candidates: Candidates, drawn: Sequence[int], state: Tree) -> Mapping[int, float]:
        """Return the losses of those that are known, or that answer."""
        if self.losses == "polled":
            return candidates.losses(drawn, self.poll_examples)
        known = state.get("losses", {})
        usual = sum(known.values()) / max(1, len(known))
        silent = set(state.get("silent", []))
        return {client: usual if client in silent else known.get(str(client), np.inf) for client in drawn}
