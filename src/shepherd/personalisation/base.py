"""What every way to an adapter of one's own is: training beside the rounds, training after them, or both."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from shepherd.model.adapter import Adapter
from shepherd.personalisation.own_model import OwnModel
from shepherd.strategy import Strategy
from shepherd.training import Training
from shepherd.tree import Tree

if TYPE_CHECKING:
    from shepherd.data.population import ClientView
    from shepherd.model.adapted import AdaptedModel


class Personalisation(Strategy):
    """Gives clients adapters of their own; they never leave the clients, and nothing of the federation changes by them.

    What a client keeps anyway, since the aggregation leaves it to the clients (`Role.OWN`), needs none of this.

    Attributes
    ----------
    stacks : bool
        Whether an adapter of one's own is trained and used on top of everybody's, which only plain LoRA can.
    """

    stacks: ClassVar[bool] = False

    def beside(self, training: Training) -> Training | None:
        """Return how a client trains its own adapter in each round it takes part in; None if it does not.

        Parameters
        ----------
        training : Training
            How it trains the one that is everybody's.
        """
        return None

    def start(self, received: Adapter, own: Adapter | None) -> Adapter:
        """Return where the training of its own begins.

        Parameters
        ----------
        received : Adapter
            The one that is everybody's, as it is now.
        own : Adapter, optional
            Its own, as it was after the training before.
        """
        return received if own is None else own

    def told(self, received: Adapter) -> Tree:
        """Return what that training is told; see `shepherd.training.correction.Correction.begin`."""
        return {}

    def beneath(self, received: Adapter, residual: Tree) -> Tree:
        """Return what is added to the base's weights while its own is trained; see `shepherd.model.residual`.

        Parameters
        ----------
        received : Adapter
            The one that is everybody's, the same for all clients of a round.
        residual : Tree
            What the aggregation adds to them.
        """
        return residual

    def afterwards(self, training: Training) -> Training | None:
        """Return how a client goes on training its own adapter after the last round; None if it does not."""
        return None

    def own_model(
        self, shared: Adapter, own: Adapter, view: ClientView, seed: int, model: AdaptedModel
    ) -> OwnModel:
        """Return what a client computes with in the end: its own adapter, and nothing else.

        Parameters
        ----------
        shared, own : Adapter
            The one that is everybody's, and the client's own as it was trained.
        view : ClientView
            The client's training examples.
        seed : int
            The run's.
        model : AdaptedModel
            To look at examples with; which adapter is in it afterwards is not said.
        """
        return OwnModel(adapter=own)
