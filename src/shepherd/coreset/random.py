"""Examples drawn blindly: the baseline that every other coreset must beat at the same number of examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from shepherd.coreset.matched import MatchedCoreset
from shepherd.data.population import ClientView
from shepherd.messages import ClientJob
from shepherd.randomness import generator

if TYPE_CHECKING:
    from shepherd.model.adapted import AdaptedModel


class Random(MatchedCoreset):
    """Every client draws some of its examples anew each round, uniformly and without repetition."""

    name: str = "random"

    def examples(self, view: ClientView, job: ClientJob, model: AdaptedModel) -> np.ndarray:
        """Draw the round's examples, in ascending order."""
        draw = generator(job.seed, "coreset", job.round, job.client)
        return view.rows[np.sort(draw.choice(len(view), size=self.wanted(view, job), replace=False))]
