"""FedDPA: an adapter of the client's own beside everybody's, mixed anew for every input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from shepherd.model.adapter import Adapter
from shepherd.model.batch import load
from shepherd.model.features import FeatureSettings
from shepherd.model.lora_pairs import stacked
from shepherd.personalisation.base import Personalisation
from shepherd.personalisation.fine_tune import FineTune
from shepherd.personalisation.mixed import Likeness, Mixed, share_of
from shepherd.personalisation.own_model import OwnModel
from shepherd.randomness import generator
from shepherd.training import Training
from shepherd.tree import Tree

if TYPE_CHECKING:
    from shepherd.data.population import ClientView
    from shepherd.model.adapted import AdaptedModel


class DualAdapters(Personalisation):
    """What FedDPA's variants have in common (arXiv 2403.19211).

    ``W0 + s ((1 - a) B_g A_g + a B_l A_l)``, with everybody's adapter g and the client's own l. While l is trained, a
    is `weight` and g is frozen: it is added to the base's weights, which a base in bfloat16 rounds, and the optimiser
    steps on A_l and ``weight * B_l``. An answer to x is given with ``a(x) = scale * mean_s cos(h(x), h(x_s))``, within
    [0, 1]; h is the last hidden state of a prompt under l alone, and x_s are some of the client's own training
    examples. Where whole data sets are tested, a(x) is rounded to the nearest 0.05.

    PEFT's form of an adapter has one weight for all inputs: it is written with the mean of a(x) over the client's other
    training examples, or, where there are no others, over those.

    How weights come about, and that both adapters count while l is trained (or a mix of them would be none that was
    ever trained), is as in the authors' code (Lydia-yang/FedDPA), with its 0.5, 0.5 and 5 as defaults. That l begins as
    g is FedDPA-F's; it is done here for FedDPA-T, too, whose l begins untrained there.

    Attributes
    ----------
    weight : float
        What the client's own counts while it is trained, in (0, 1]; at 1 everybody's has no part in its training.
    scale : float
        What it counts at most in an answer, in (0, 1].
    examples : int
        Of the client's own examples so many are compared with, drawn once.
    token : str
        h is the state of a prompt's ``last`` token, or the ``mean`` over all.
    """

    stacks: ClassVar[bool] = True

    weight: float = Field(0.5, gt=0, le=1)
    scale: float = Field(0.5, gt=0, le=1)
    examples: int = Field(5, gt=0)
    token: Literal["last", "mean"] = "last"

    def suits(self, config: Any) -> None:
        """Refuse adapters that cannot be stacked, and everybody's adapter where it is not all, or not everybody's."""
        mine, others = f"personalisation.name={self.name}", "use personalisation.name=fine_tune"
        rule = config.aggregation
        if not config.adapter.factored:
            raise ValueError(
                f"{mine} stacks the factors of two adapters, and adapter.name={config.adapter.name} is more than "
                f"these, or has none; use adapter.name=lora, or {others.removeprefix('use ')}"
            )
        if rule.changes_base or rule.leaves_own:
            what = (
                "moves what is learnt into the base"
                if rule.changes_base
                else "leaves clients adapters of their own"
            )
            raise ValueError(
                f"{mine} weighs one adapter that is everybody's against the client's own, and aggregation.name="
                f"{rule.name} {what}; {others}, or another aggregation, e.g. fedavg"
            )
        if config.model.quantisation != "none":
            raise ValueError(
                f"{mine} trains on a base that everybody's adapter is added to, which a {config.model.quantisation} "
                f"base cannot take; {others}"
            )
        if config.data.loss_on == "all":
            raise ValueError(
                f"{mine} compares prompts, which data.loss_on=all does not tell from responses; set "
                f"data.loss_on=response, or {others}"
            )

    def start(self, received: Adapter, own: Adapter | None) -> Adapter:
        """Begin with everybody's, as much as the client's own counts: together they are then everybody's."""
        return stacked([(received, self.weight)]) if own is None else own

    def beneath(self, received: Adapter, residual: Tree) -> Tree:
        """Add the rest of everybody's to the base."""
        return share_of(received, 1 - self.weight)

    def own_model(
        self, shared: Adapter, own: Adapter, view: ClientView, seed: int, model: AdaptedModel
    ) -> OwnModel:
        """Return both adapters, weighed by what the client's examples look like."""
        local = stacked([(own, 1 / self.weight)])
        draw = generator(seed, "examples to compare with", view.number)
        places = draw.permutation(len(view))
        drawn, others = view.rows[places[: self.examples]], view.rows[places[self.examples :]]
        features = FeatureSettings(layers="last", token=self.token)
        likeness = Likeness.to(load(view.examples, drawn), local, features, self.scale, model)
        usual = likeness.weights(model, load(view.examples, others if len(others) else drawn))
        return Mixed.at(float(np.mean(usual)), shared, local, likeness)


class FedDPAF(DualAdapters, FineTune):
    """FedDPA-F: every client's own adapter is trained after the last round, as `fine_tune` trains it."""

    name: str = "feddpa-f"


class FedDPAT(DualAdapters):
    """FedDPA-T: a client that takes part in a round trains its own adapter in it, too.

    As in the authors' code everybody's adapter is beneath it as it was sent, not as the client trains it.

    Attributes
    ----------
    epochs : float, optional
        Passes over its examples for its own adapter; as many as for everybody's unless told.
    """

    name: str = "feddpa-t"
    epochs: float | None = Field(None, gt=0)

    def suits(self, config: Any) -> None:
        """Refuse, too, clients that are sent different adapters, since those of a round are trained at once."""
        super().suits(config)
        if config.capacity.mixes:
            raise ValueError(
                f"personalisation.name={self.name} trains the clients of a round on one adapter that was sent to all, "
                f"and capacity.name={config.capacity.name} sends them parts; use personalisation.name=feddpa-f"
            )

    def beside(self, training: Training) -> Training:
        """Return plain training, without corrections, with an optimiser that begins anew."""
        plain = training.alone(self.epochs or training.epochs).model_copy(update={"stateful": False})
        return plain if self.epochs is not None else plain.model_copy(update={"steps": training.steps})
