"""FedEx-LoRA: what averaging misses goes into the base."""

from __future__ import annotations

import torch
from pydantic import Field

from shepherd.aggregation.base import Aggregated
from shepherd.aggregation.cohort import Cohort
from shepherd.aggregation.products import Merging, step_to
from shepherd.aggregation.small_core import spectrum
from shepherd.model.adapter import Adapter
from shepherd.model.lora_pairs import Factors, Pair
from shepherd.tree import Tree


class FedEx(Merging):
    """FedEx-LoRA (Singhal et al., arXiv 2410.09432, section 4): ``W0 <- W0 + s (M - mean B mean A)``.

    A and B are averaged as fedavg does it, and what that misses of ``M = sum_k p_k B_k A_k`` is added to the base, so
    that the global model is the exact average of the clients'.

    Costs: fedavg's upload. The download has besides all that was ever added, factored: after t rounds of n clients its
    rank is ``t n r``, until that is the whole matrix. The server must see each update; the base cannot be quantised.

    Attributes
    ----------
    residual_rank : int, optional
        Add of each round only the nearest of this rank (the paper's way to a smaller download); all of it unless told.
    """

    name: str = "fedex"
    residual_rank: int | None = Field(None, gt=0)

    def finish(self, adapter: Adapter, accumulator: Cohort, state: Tree) -> Aggregated:
        """Return the step to the averages of A and B; the state gets what they miss."""
        accumulator.check()
        means: dict[str, torch.Tensor] = {}
        missed: dict[str, Factors] = {}

        def module(pair: Pair) -> tuple[Factors, Factors]:
            """Average one module's factors, and say what that misses."""
            return accumulator.means(pair), self._kept(accumulator.gap(pair))

        for pair, (mean, gap) in zip(accumulator.pairs, accumulator.of_each(module), strict=True):
            means[pair.b], means[pair.a] = mean
            if gap[0].shape[1] > 0:  # of equal clients, or one alone, no rank is left
                missed[pair.module] = gap
        return Aggregated(step_to(adapter, means), self.grown(state, missed), self.error_figures(accumulator))

    def _kept(self, gap: Factors) -> Factors:
        left, right = gap if self.residual_rank is None else spectrum(*gap).nearest(self.residual_rank)
        return left.float(), right.float()
