"""FedKSeed's local training: two forward passes a step, along a random one of K directions, and no gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from shepherd.errors import ShepherdError
from shepherd.model.batch import Example, count_labels, load
from shepherd.model.losses import example_losses
from shepherd.randomness import generator
from shepherd.training.base import LocalOutcome, LocalTask, Training

if TYPE_CHECKING:
    from shepherd.model.adapted import AdaptedModel
    from shepherd.model.seeded_weights import SeededWeights


class KSeedTraining(Training):
    """FedKSeed (arXiv 2312.06353, section 3.2): zeroth-order steps along directions drawn evenly from K seeds.

    A step along direction z takes ``g = (L(W + eps z) - L(W - eps z)) / (2 eps)``, moves the weights by ``-lr g z``
    and adds ``-lr g`` to the seed's place in the pool, which is all that is sent. Nothing drops out.

    Attributes
    ----------
    eps : float
        How far a step looks in each direction.
    optimizer : str
        Plain descent; there are no others, since the pool must say where the weights are.
    """

    #: A rate of steps along random directions, and their number, are no rate and number of gradient steps.
    of_its_own: ClassVar[frozenset[str]] = frozenset({"lr", "batch_size", "steps"})

    name: str = "kseed"
    lr: float = Field(3e-7, gt=0)
    batch_size: int = Field(1, gt=0)
    steps: int | None = Field(200, gt=0)
    eps: float = Field(5e-4, gt=0)
    optimizer: Literal["sgd"] = "sgd"

    def suits(self, config: Any) -> None:
        """Refuse an adapter that is no pool, and settings of gradients."""
        from shepherd.model.kinds import KSeed

        if not isinstance(config.adapter, KSeed):
            raise ValueError(
                f"training.name=kseed trains adapter.name=kseed, not {config.adapter.name}; set that, or choose "
                "training.name=engine"
            )
        for setting, value, none in (
            ("momentum", self.momentum, 0.0),
            ("weight_decay", self.weight_decay, 0.0),
            ("clip_norm", self.clip_norm, None),
        ):
            if value != none:
                raise ValueError(
                    f"training.name=kseed has no use for training.{setting}, since the pool could not say where the "
                    f"weights are; set it to {'null' if none is None else 0}"
                )

    def chosen(self, model: AdaptedModel) -> dict[str, Any]:
        """Return how losses are computed here."""
        return {
            "clients_at_once": 1,
            "lanes": model.lanes,
            "shares_prefixes": model.prefix_cost is not None,
            "forward": model.forward,
        }

    def train(self, model: AdaptedModel, task: LocalTask) -> LocalOutcome:
        """Train the pool that is in `model`, in place, on `task`."""
        # What is there is trained from, bit for bit, whatever the weights have been through.
        model.write(model.read())
        batches, weights = self.batches(task), _seeded(model)
        address = generator(task.seed, "kseed seeds", task.round, task.client)
        seeds = address.integers(len(weights.pool), size=len(batches))
        taken = [
            self._step(
                model, weights, load(task.examples, rows), int(seed), self.rate(task, step, len(batches))
            )
            for step, (rows, seed) in enumerate(zip(batches, seeds, strict=True))
        ]
        return self._outcome(task, taken)

    def _step(
        self, model: AdaptedModel, weights: SeededWeights, examples: list[Example], seed: int, rate: float
    ) -> _Taken:
        """Take a step along one direction; a batch without a label takes none."""
        labels = count_labels(examples)
        if labels == 0:
            return _Taken(examples, 0, 0.0)
        weights.move(seed, self.eps)
        above = float(example_losses(model, examples).sums.sum()) / labels
        weights.move(seed, -2 * self.eps)
        below = float(example_losses(model, examples).sums.sum()) / labels
        moved = -rate * (above - below) / (2 * self.eps)
        weights.move(seed, self.eps + moved)
        weights.add(seed, moved)
        return _Taken(examples, labels, (above + below) / 2)

    def _outcome(self, task: LocalTask, taken: list[_Taken]) -> LocalOutcome:
        examples = sum(len(step.examples) for step in taken)
        labels = sum(step.labels for step in taken)
        squares = sum(step.loss**2 * len(step.examples) for step in taken)
        seen = int(task.state.get("examples_seen", 0)) + examples
        return LocalOutcome(
            examples=examples,
            tokens=sum(len(tokens) for step in taken for tokens, _ in step.examples),
            response_tokens=labels,
            steps=len(taken),
            train_loss=sum(step.loss * step.labels for step in taken) / max(labels, 1),
            train_loss_rms=math.sqrt(squares / examples),
            state={"examples_seen": seen} if self.stateful else {},
        )


@dataclass(frozen=True)
class _Taken:
    """A step's examples, their labels, and their mean loss between the two points it looked at, in nats per label."""

    examples: list[Example]
    labels: int
    loss: float


def _seeded(model: AdaptedModel) -> SeededWeights:
    from shepherd.model.seeded_weights import SeededWeights

    if not isinstance(model.attached, SeededWeights):
        raise ShepherdError(
            "training.name=kseed trains adapter.name=kseed; set that, or choose training.name=engine."
        )
    return model.attached
