"""Everybody's adapter and a client's own at once, each counting as much as an example is like the client's own.

``W0 + s ((1 - a) B_g A_g + a B_l A_l)``: for every a this is one LoRA of the stacked rank, with nothing made dense.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from shepherd.model.adapter import Adapter
from shepherd.model.batch import Example
from shepherd.model.features import FeatureSettings, hidden_features
from shepherd.model.lora_pairs import pairs_of, stacked
from shepherd.model.losses import ExampleLosses, example_losses
from shepherd.model.residual import to_tree
from shepherd.personalisation.own_model import OwnModel, Tested
from shepherd.tree import Tree

if TYPE_CHECKING:
    from shepherd.model.adapted import AdaptedModel

#: Weights are rounded to so many steps of [0, 1], and examples of one weight are computed together.
STEPS = 20


def share_of(adapter: Adapter, weight: float) -> Tree:
    """Return ``weight * B A`` of every module as what is added to the base; see `shepherd.model.residual`."""
    if weight == 0:
        return {}
    return to_tree(
        {pair.module: (weight * adapter[pair.b], adapter[pair.a]) for pair in pairs_of(adapter.layout)}
    )


@dataclass(frozen=True)
class Likeness:
    """How much an example is like a client's own: ``scale * mean_s cos(h(x), h(x_s))``, within [0, 1].

    Attributes
    ----------
    adapter : Adapter
        Under which hidden states are taken.
    features : FeatureSettings
        Which hidden state of a prompt is h.
    own : ndarray, [examples of the client, hidden size]
        h of the client's own, each of norm 1.
    scale : float
        The most that a weight can be, in (0, 1].
    """

    adapter: Adapter
    features: FeatureSettings
    own: np.ndarray
    scale: float

    @classmethod
    def to(
        cls,
        examples: Sequence[Example],
        adapter: Adapter,
        features: FeatureSettings,
        scale: float,
        model: AdaptedModel,
    ) -> Self:
        """Look at the client's own examples."""
        return cls(adapter, features, _prompt_features(model, adapter, examples, features), scale)

    def weights(self, model: AdaptedModel, examples: Sequence[Example]) -> np.ndarray:
        """Return the weight of the client's own adapter for each example, float64 [examples]."""
        found = _prompt_features(model, self.adapter, examples, self.features)
        cosines = found.astype(np.float64) @ self.own.astype(np.float64).T
        return np.clip(self.scale * cosines.mean(axis=1), 0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Mixed(OwnModel):
    """The base with two adapters.

    Attributes
    ----------
    shared, local : Adapter
        Everybody's and the client's own, the latter as it counts at weight 1.
    likeness : Likeness
        Weighs them.
    """

    shared: Adapter
    local: Adapter
    likeness: Likeness

    @classmethod
    def at(cls, weight: float, shared: Adapter, local: Adapter, likeness: Likeness) -> Self:
        """Mix them; `weight` is what the client's own counts where weights cannot depend on the example."""
        return cls(
            adapter=stacked([(local, weight)]),
            beneath=share_of(shared, 1 - weight),
            weight=weight,
            shared=shared,
            local=local,
            likeness=likeness,
        )

    def test(self, model: AdaptedModel, examples: Sequence[Example]) -> Tested:
        """Test it, each example under its own weight."""
        weights = self.likeness.weights(model, examples)
        return Tested(self.losses(model, examples, weights).mean, float(weights.mean()))

    def losses(self, model: AdaptedModel, examples: Sequence[Example], weights: np.ndarray) -> ExampleLosses:
        """Return the loss of each example under its weight, rounded to one of `STEPS`."""
        sums, labels = np.zeros(len(examples)), np.zeros(len(examples))
        steps = np.rint(weights * STEPS).astype(np.int64)
        for step in np.unique(steps):
            rows = np.flatnonzero(steps == step)
            mix = stacked([(self.shared, 1 - step / STEPS), (self.local, step / STEPS)])
            with model.lora.carrying({name: tensor.to(model.device) for name, tensor in mix.items()}):
                found = example_losses(model, [examples[int(row)] for row in rows])
            sums[rows], labels[rows] = found.sums, found.labels
        return ExampleLosses(sums, labels)


def _prompt_features(
    model: AdaptedModel, adapter: Adapter, examples: Sequence[Example], features: FeatureSettings
) -> np.ndarray:
    """Return the features of examples without their responses, which are not known when an answer is wanted."""
    model.write(adapter)
    prompts = [(tokens[:unlabelled], unlabelled) for tokens, unlabelled in examples]
    return hidden_features(model, prompts, features)
