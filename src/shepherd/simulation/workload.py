"""What a round asks of a device, in operations and bytes: of any model, counted and not measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shepherd.model.adapter import Layout

if TYPE_CHECKING:
    from shepherd.data.encoding import EncodedExamples
    from shepherd.model.adapted import AdaptedModel
    from shepherd.training import Training

#: A gradient and Adam's two moments, in float32, beside every trainable parameter.
_TRAINING_BYTES = 12


@dataclass(frozen=True)
class Workload:
    """What training asks of any device.

    Attributes
    ----------
    frozen, trainable : int
        Parameters of the model.
    weight_bytes : int
        What its weights take, as they are loaded.
    tokens_per_example : float
        The mean over all training examples; a client's own are counted once it has trained.
    repeated : callable
        How many examples a client trains on, with repetition, by how many it holds.
    beside : callable, optional
        The same of the adapter of its own that it trains besides, where personalisation has it do so.
    layout : Layout, optional
        The adapter's.
    """

    frozen: int = 0
    trainable: int = 0
    weight_bytes: int = 0
    tokens_per_example: float = 0.0
    repeated: Callable[[int], int] = int
    beside: Callable[[int], int] | None = None
    layout: Layout | None = None

    @classmethod
    def of(
        cls,
        model: AdaptedModel,
        examples: EncodedExamples,
        training: Training,
        beside: Training | None = None,
        counts: tuple[int, int] | None = None,
    ) -> Workload:
        """Count what `training` the adapter of `model` on `examples` asks of a device, and one of its own `beside`.

        Of the adapter all is trained, unless `counts` says how many parameters are frozen and how many are trained.
        """
        frozen, trainable = counts or model.counts()
        weights = sum(weight.numel() * weight.element_size() for weight in model.peft.parameters())
        # Where an example is more than one sequence, the others are taken to be as long.
        mean = float(examples.lengths().mean()) * training.sequences if len(examples) else 0.0
        return cls(frozen, trainable, weights, mean, training.count, beside.count if beside else None)

    @property
    def flops_per_token(self) -> float:
        """Operations of one step over one token: 4 N where N frozen weights are trained through, 6 N of trained ones.

        Two for each weight in the forward pass, two for the gradient of its input, and two more for the weight's own
        where it is trained (Kaplan et al., arXiv 2001.08361, section 2.1). Attention over the context is left out, as
        it is there.
        """
        return 4.0 * (self.frozen + self.trainable) + 2.0 * self.trainable

    @property
    def memory_bytes(self) -> int:
        """What a device must hold: the weights, and the gradients and moments of what is trained.

        Activations are left out: they depend on the micro-batch, which can be made as small as one example.
        """
        return self.weight_bytes + _TRAINING_BYTES * self.trainable

    @property
    def adapter_bytes(self) -> int:
        """Length of the whole adapter's wire form, in bytes."""
        return self.layout.wire_bytes if self.layout is not None else 0

    def operations(self, tokens: float, examples: int) -> float:
        """Return the operations of a client's round.

        Parameters
        ----------
        tokens : float
            What it trains everybody's adapter on; an adapter of its own is trained on the same examples.
        examples : int
            How many different ones these are.
        """
        again = (
            self.beside(examples) / self.repeated(examples) if self.beside is not None and examples else 0.0
        )
        return tokens * (1 + again) * self.flops_per_token

    def expected_tokens(self, examples: int) -> float:
        """Return how many tokens a client that holds so many examples is expected to train on."""
        return self.repeated(examples) * self.tokens_per_example
