"""What every way of choosing the examples a client trains on is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from shepherd.data.population import ClientView
from shepherd.messages import ClientJob, ClientSummary
from shepherd.strategy import Strategy
from shepherd.tree import Tree

if TYPE_CHECKING:
    from shepherd.model.adapted import AdaptedModel


@dataclass(frozen=True)
class Cohort:
    """Whom the server chooses for.

    Attributes
    ----------
    round, seed : int
        The address of the choice's randomness; ``round`` counts from 0.
    clients : sequence of int, [cohort]
        The clients' numbers, in the order in which they are aggregated.
    names : sequence of str, [cohort]
        Their names.
    sizes : sequence of int, [cohort]
        How many examples each holds.
    """

    round: int
    seed: int
    clients: Sequence[int]
    names: Sequence[str]
    sizes: Sequence[int]


class Coreset(Strategy):
    """Which of its examples a client trains on in a round.

    The client's and the server's sides are apart: `summarise` and `examples` see one client's view and run
    beside its data; `choose` sees the clients' messages only.

    Attributes
    ----------
    asks : bool
        Whether clients send something before the server chooses.
    """

    asks: ClassVar[bool] = False

    def lasting(self, kept: Tree) -> Tree:
        """Return what a client keeps for later rounds of what `summarise` had it keep for this one; nothing here."""
        return {}

    def prepare(self, model: AdaptedModel) -> None:
        """Load what is needed beside the tuned model, so that what cannot be had is said before the first round."""

    def summarise(self, view: ClientView, job: ClientJob, model: AdaptedModel) -> ClientSummary:
        """Say, at the client, what the server needs to choose, and keep what the client needs afterwards.

        Parameters
        ----------
        view : ClientView
            The client's examples.
        job : ClientJob
            The round, the global adapter, and what the client kept of earlier rounds.
        model : AdaptedModel
            The base; whoever computes with it loads the adapter it wants first.
        """
        return ClientSummary(job.client)

    def check(self, name: str, size: int, message: Tree) -> None:
        """Refuse, at the server, what one client says, so that who talks nonsense can be left out; nothing here.

        Parameters
        ----------
        name : str
            The client's.
        size : int
            How many examples it holds.
        message : Tree
            What it sent.

        Raises
        ------
        ShepherdError
            If no honest client sends it.
        """

    def choose(
        self, cohort: Cohort, messages: Mapping[int, Tree], state: Tree
    ) -> tuple[dict[int, Any], Tree]:
        """Choose, at the server.

        Parameters
        ----------
        cohort : Cohort
            Whom it chooses for.
        messages : mapping of int to Tree
            What each client sent, by number.
        state : Tree
            What the server remembers; empty at first.

        Returns
        -------
        (dict of int to object, Tree)
            The choice for each client that is to train, in the cohort's order (the others sit the round out),
            and what the server remembers from now on.

        Raises
        ------
        ShepherdError
            If a message cannot be what an honest client sends.
        """
        return dict.fromkeys(cohort.clients), state

    def examples(self, view: ClientView, job: ClientJob, model: AdaptedModel) -> np.ndarray:
        """Return, at the client, the rows to train on under the server's choice, ``job.choice``."""
        raise NotImplementedError

    def figures(self, message: Tree, choice: Any | None) -> dict[str, Any]:
        """Return what the metrics say of one client's selection, each figure with its unit in its name."""
        return {}
