"""q-FedAvg: clients that do badly count more."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from shepherd.aggregation.averaging import Averaging, WeightedSum
from shepherd.aggregation.said import said_loss
from shepherd.messages import ClientUpdate
from shepherd.model.adapter import Layout
from shepherd.tree import Tree

_LEAST_LOSS = 1e-10  # of a loss of zero a negative power would be infinite


class QFedAvg(Averaging):
    """Minimises ``sum_k F_k^(q + 1) / (q + 1)`` (Li et al., arXiv 1905.10497, algorithm 2).

    ``x <- x - sum_k F_k^q D_k / sum_k h_k`` with ``D_k = (x - y_k) / lr`` and
    ``h_k = q F_k^(q - 1) |D_k|^2 + F_k^q / lr``. F_k is the loss of the round's adapter on all of a client's
    examples, which the client measures before it trains, and says. 1 / lr stands for the Lipschitz constant L. With
    q = 0 it is FedAvg that counts clients alike, whatever lr is.

    Under SGD lr is the clients' peak rate, as in the paper; D_k is then the sum of a client's gradients. Under Adam a
    step in units of the rate is far longer than a gradient, and ``|D_k|^2`` would bring the server to a halt. There
    lr is a setting of its own, which leaves half of FedAvg's step at ``q |y - x|^2 / F`` (metrics.jsonl has |y - x| as
    ``update_norm``), and more above: in the first round of `quickstart` with ``participation.count=5``, whose clients'
    rate is 0.01, the server goes 5, 33, 83 % as far as FedAvg with q = 0.1 and lr = 0.1, 1, 10, and 33 % with q = 1
    and lr = 10.

    Attributes
    ----------
    q : float
        How much more clients with a high loss count; 0.001 to 5 in the paper.
    lr : float
        1 / L: ``training.lr`` under SGD, and larger under Adam.
    weights : str
        Clients count alike but for their losses.
    """

    asks_loss: ClassVar[bool] = True
    # h_k has the square of an update: counted for less it would make the step longer.
    takes_stale: ClassVar[bool] = False
    hears: ClassVar[tuple[str, ...]] = ("loss",)
    name: str = "qfedavg"
    weights: Literal["uniform"] = "uniform"
    q: float = Field(0.1, ge=0)
    lr: float = Field(1.5e-4, gt=0)

    def suits(self, config: Any) -> None:
        """Refuse another rate than that of clients with SGD, and that of clients with Adam."""
        super().suits(config)
        rate, optimizer = config.training.lr, config.training.optimizer
        if optimizer == "sgd" and rate != self.lr:
            raise ValueError(
                f"aggregation.lr is {self.lr:g} and training.lr {rate:g}, and qfedavg reckons with the clients' rate; "
                "set both alike"
            )
        if optimizer != "sgd" and self.q > 0 and self.lr <= rate:
            raise ValueError(
                f"aggregation.lr is {self.lr:g} and training.lr {rate:g}, at which qfedavg would hardly move: it takes "
                f"(x - y) / lr for a gradient, and {optimizer} goes much further; set aggregation.lr some 1,000 times "
                "as high as training.lr, or training.optimizer=sgd and both rates alike"
            )

    def check_said(self, said: Tree, layout: Layout) -> None:
        """Refuse a loss that no model has."""
        said_loss(said)

    def accumulate(self, accumulator: WeightedSum, update: ClientUpdate) -> WeightedSum:  # type: ignore[override]
        """Add one client's update times F^q; and lr times its h, so that the sums' quotient is the step."""
        loss, vector = max(said_loss(update.said), _LEAST_LOSS), update.update.vector
        accumulator.total.add(vector, loss**self.q)
        square = update.update.norm() ** 2
        weight = loss**self.q + self.q * loss ** (self.q - 1) * square / self.lr
        return WeightedSum(accumulator.total, accumulator.weight + weight)
