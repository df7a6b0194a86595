"""FlexLoRA: the average product, taken apart again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from shepherd.aggregation.base import Aggregated
from shepherd.aggregation.cohort import Cohort
from shepherd.aggregation.products import OfProducts, step_to
from shepherd.aggregation.small_core import Spectrum, spectrum
from shepherd.model.adapter import Adapter
from shepherd.model.lora_pairs import Pair
from shepherd.tree import Tree


@dataclass(frozen=True)
class _Module:
    """One module's new factors, their rank, and the share of the mean's energy that is in them."""

    factors: dict[str, torch.Tensor]
    rank: int
    energy: float


class FlexLoRA(OfProducts):
    """FlexLoRA (Bai et al., arXiv 2402.11505, section 3): the best approximation of ``M = sum_k p_k B_k A_k``.

    Its singular value decomposition ``X S Y'`` gives ``B = X sqrt(S)`` and ``A = sqrt(S) Y'`` of the run's rank, by
    descending singular value, so that a client of a smaller rank is sent the best of its own. M is never made.
    Where M has less than the run's rank, B has columns of zeros and A keeps the rows it had, which can be trained on.

    Costs: fedavg's traffic both ways. The server must see each update; the base may be quantised.
    """

    mixed_ranks: ClassVar[bool] = True
    turns_factors: ClassVar[bool] = True
    name: str = "flexlora"

    def finish(self, adapter: Adapter, accumulator: Cohort, state: Tree) -> Aggregated:
        """Return the step to the new factors."""
        accumulator.check()

        def module(pair: Pair) -> _Module:
            """Take one module's mean apart."""
            return self._module(accumulator, pair)

        modules = accumulator.of_each(module)
        factors = {name: factor for found in modules for name, factor in found.factors.items()}
        figures = {
            "kept_rank": sum(found.rank for found in modules) / len(modules),
            "kept_energy": sum(found.energy for found in modules) / len(modules),
            **self.error_figures(accumulator),
        }
        return Aggregated(step_to(adapter, factors), state, figures)

    def _module(self, cohort: Cohort, pair: Pair) -> _Module:
        found = spectrum(*cohort.product(pair))
        b, a = torch.zeros_like(cohort.start[pair.b]).double(), cohort.start[pair.a].double()
        # Where nobody holds the module nothing was learnt, and all of it stays.
        wanted = self.rank(found) if cohort.holders(pair) else len(found.values)
        rank = min(wanted, len(a), len(found.values))
        b[:, :rank], a[:rank] = found.nearest(rank)
        return _Module({pair.b: b, pair.a: a}, rank, float(found.energy[rank - 1]) if rank else 1.0)

    def rank(self, found: Spectrum) -> int:
        """Return the rank wanted of a module, of which the run's is the most there can be."""
        return len(found.values)
