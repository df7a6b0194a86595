"""What a client answers with once it has an adapter of its own: what that is worth, and what PEFT is to load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shepherd.model.adapter import Adapter
from shepherd.model.batch import Example
from shepherd.model.losses import example_losses
from shepherd.tree import Tree

if TYPE_CHECKING:
    from shepherd.model.adapted import AdaptedModel


@dataclass(frozen=True)
class Tested:
    """What a client's own model is worth on some examples.

    Attributes
    ----------
    loss : float
        Nats per response token.
    weight : float, optional
        What its own adapter counted, in the mean over the examples, where everybody's counts the rest.
    """

    loss: float
    weight: float | None = None


@dataclass(frozen=True, kw_only=True)
class OwnModel:
    """The base with one adapter.

    Attributes
    ----------
    adapter : Adapter
        What was trained, as PEFT is to load it.
    beneath : Tree, optional
        What PEFT is to load besides, added to the base; see `shepherd.model.residual`. None for the run's own residual.
    weight : float, optional
        What the client's own adapter counts in what PEFT loads, where everybody's counts the rest.
    """

    adapter: Adapter
    beneath: Tree | None = None
    weight: float | None = None

    def test(self, model: AdaptedModel, examples: Sequence[Example]) -> Tested:
        """Test it on some examples; what is in `model` afterwards is not said."""
        model.write(self.adapter)
        return Tested(example_losses(model, examples).mean)
