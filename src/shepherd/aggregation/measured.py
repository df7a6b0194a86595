"""How far averaging A and B is from averaging what they come to."""

from __future__ import annotations

from typing import Any

from shepherd.aggregation.cohort import Cohort
from shepherd.aggregation.weighted import Weighted


class Measured(Weighted):
    """An aggregation that can say what averaging LoRA's A and B apart misses.

    Attributes
    ----------
    measure_error : bool
        Put into every round's line of metrics how far the product of the averages is from the average of the products:
        ``product_error = |M - mean B mean A| / |M|`` with ``M = sum_k p_k B_k A_k``, a share. Every client's adapter is
        kept for that until the round is over.
    """

    measure_error: bool = False

    @property
    def adds_up(self) -> bool:
        """An error can only be measured where every update is seen."""
        return self.additive and not self.measure_error

    def suits(self, config: Any) -> None:
        """Refuse to measure the error of what has no products, or of products that no average is made of."""
        super().suits(config)
        if self.measure_error and not config.adapter.factored:
            raise ValueError(
                f"aggregation.measure_error is about LoRA's products B A, and adapter.name={config.adapter.name} "
                "is another adapter; leave it out, or set adapter.name=lora"
            )
        if self.measure_error and self.leaves_own:
            raise ValueError(
                f"aggregation.measure_error is about averages of A and of B, and under aggregation.name={self.name} B "
                "stays at its client; leave it out, or choose another aggregation, e.g. fedavg"
            )

    def error_figures(self, cohort: Cohort) -> dict[str, float]:
        """Return what a round's line says of it: nothing unless asked for."""
        return {"product_error": cohort.product_error()} if self.measure_error else {}
