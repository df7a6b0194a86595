"""Agnostic federated learning: the mixture of clients that the adapter does worst on is what it is trained for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field

from shepherd.aggregation.averaging import Averaging, WeightedSum
from shepherd.aggregation.base import Aggregated
from shepherd.aggregation.qfedavg import QFedAvg
from shepherd.aggregation.said import said_loss
from shepherd.errors import ShepherdError
from shepherd.messages import ClientUpdate
from shepherd.model.adapter import Adapter, Layout
from shepherd.participation.counted import CountedParticipation
from shepherd.tree import Tree

if TYPE_CHECKING:
    from shepherd.participation import Candidates


@dataclass(frozen=True)
class HeardSum(WeightedSum):
    """A running weighted sum of updates, and the losses their clients said, by number."""

    losses: Mapping[int, float]


class AFL(Averaging):
    """``min_x max_lambda sum_k lambda_k F_k(x)`` over the simplex (Mohri et al., arXiv 1902.00146, Stochastic-AFL).

    ``x <- x + lr sum_k lambda_k (y_k - x)``, where a client's local training stands for the paper's gradient; then
    lambda goes up along the losses F_k(x), which clients measure before they train. Every client must take part in
    every round, so it is for few of them.

    Attributes
    ----------
    lr : float
        The server's learning rate.
    mixture_lr : float
        The rate of lambda.
    ascent : str
        ``projected``: lambda + rate F, and back to the nearest point of the simplex, as in the paper.
        ``exponentiated``: lambda exp(rate F), normalised, which never leaves a client out for good.
    weights : str
        Clients count as lambda says.
    """

    # Its losses are told apart by client, and sums would mix them.
    additive: ClassVar[bool] = False
    asks_loss: ClassVar[bool] = True
    hears: ClassVar[tuple[str, ...]] = ("loss",)
    name: str = "afl"
    weights: Literal["uniform"] = "uniform"
    lr: float = Field(1.0, gt=0)
    mixture_lr: float = Field(0.1, gt=0)
    ascent: Literal["projected", "exponentiated"] = "projected"

    @classmethod
    def obstacle(cls, config: Any) -> str | None:
        """Say, too, that a participation may leave somebody out; see `Aggregation.obstacle`."""
        if not _takes_everybody(config) or config.system is not None:
            return (
                "needs every client in every round; set participation.name=random participation.fraction=1 without a "
                "system"
            )
        return super().obstacle(config)

    def as_clients_know_it(self, config: Any) -> QFedAvg:
        """Return a rule that asks for losses as this one does; who takes part is nothing that clients are told."""
        return QFedAvg(q=0.0, lr=config.training.lr)

    def init(self, adapter: Adapter, clients: int) -> Tree:
        """Return lambda, which begins in the middle of the simplex."""
        return {"mixture": torch.full((clients,), 1 / clients, dtype=torch.float64)}

    def shares(self, candidates: Candidates, state: Tree) -> Sequence[float]:
        """Return lambda."""
        mixture: list[float] = state["mixture"].tolist()
        return mixture

    def check_said(self, said: Tree, layout: Layout) -> None:
        """Refuse a loss that no model has."""
        said_loss(said)

    def start(self, adapter: Adapter) -> HeardSum:
        """Return an empty sum, and no losses."""
        empty = super().start(adapter)
        return HeardSum(empty.total, empty.weight, {})

    def accumulate(self, accumulator: HeardSum, update: ClientUpdate) -> HeardSum:  # type: ignore[override]
        """Add one client's update, and hear its loss."""
        losses = {**accumulator.losses, update.client: said_loss(update.said)}
        return replace(super().accumulate(accumulator, update), losses=losses)

    def finish(self, adapter: Adapter, accumulator: HeardSum, state: Tree) -> Aggregated:  # type: ignore[override]
        """Step by the mixture's mean, and move the mixture up along the losses."""
        mixture = state["mixture"]
        if len(accumulator.losses) < len(mixture):
            raise ShepherdError(
                f"Only {len(accumulator.losses)} of {len(mixture)} clients sent an update, and afl needs every client "
                "in every round; choose another aggregation, e.g. qfedavg, or see that every client answers."
            )
        losses = torch.tensor([accumulator.losses[client] for client in range(len(mixture))])
        step, _ = self.stepped(adapter, accumulator, lambda delta: (delta * self.lr,))
        mixture = self.climb(mixture, losses.double())
        figures = {"highest_share": float(mixture.max()), "lowest_share": float(mixture.min())}
        return Aggregated(step, {"mixture": mixture}, figures)

    def climb(self, mixture: torch.Tensor, losses: torch.Tensor) -> torch.Tensor:
        """Return the mixture after one step up along the losses, both [clients] in float64."""
        if self.ascent == "exponentiated":
            return torch.softmax(mixture.log() + self.mixture_lr * losses, 0)
        return on_simplex(mixture + self.mixture_lr * losses)


def _takes_everybody(config: Any) -> bool:
    """Say whether everybody takes part in every round, as far as a config tells; too high a count is refused later."""
    chosen, clients = config.participation, getattr(config.allocation, "clients", None)
    if not isinstance(chosen, CountedParticipation):
        return False
    counted = chosen.count is not None and clients is not None and chosen.count >= clients
    return counted or chosen.fraction == 1


def on_simplex(values: torch.Tensor) -> torch.Tensor:
    """Return the nearest point of the probability simplex (Duchi et al., ICML 2008, figure 1)."""
    falling = values.sort(descending=True).values
    excess = (falling.cumsum(0) - 1) / torch.arange(1, len(values) + 1, dtype=values.dtype)
    kept = int((falling > excess).sum())
    return (values - excess[kept - 1]).clamp(min=0)
