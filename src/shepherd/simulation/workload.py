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


def _nothing(client: int) -> int:
    return 0


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
    forward_passes : int
        How often a client computes the losses of all the examples it trains on before it trains: to say them, or a
        reference's.
    layout : Layout, optional
        The adapter's.
    bytes_down, bytes_up : callable
        How many bytes a client, by its number, is sent, and is expected to send.
    """

    frozen: int = 0
    trainable: int = 0
    weight_bytes: int = 0
    tokens_per_example: float = 0.0
    repeated: Callable[[int], int] = int
    beside: Callable[[int], int] | None = None
    forward_passes: int = 0
    layout: Layout | None = None
    bytes_down: Callable[[int], int] = _nothing
    bytes_up: Callable[[int], int] = _nothing

    @classmethod
    def of(
        cls,
        model: AdaptedModel,
        examples: EncodedExamples,
        training: Training,
        beside: Training | None = None,
        counts: tuple[int, int] | None = None,
        asks_loss: bool = False,
    ) -> Workload:
        """Count what `training` the adapter of `model` on `examples` asks of a device, and one of its own `beside`.

        Of the adapter all is trained, unless `counts` says how many parameters are frozen and how many are trained.
        Where the aggregation `asks_loss`, a client measures it first.
        """
        frozen, trainable = counts or model.counts()
        weights = sum(weight.numel() * weight.element_size() for weight in model.peft.parameters())
        # Where an example is more than one sequence, the others are taken to be as long.
        mean = float(examples.lengths().mean()) * training.sequences if len(examples) else 0.0
        passes = training.forward_passes + asks_loss
        again = beside.count if beside else None
        return cls(frozen, trainable, weights, mean, training.count, again, passes)

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
        before = (
            self.forward_passes * examples * self.tokens_per_example * 2.0 * (self.frozen + self.trainable)
        )
        return tokens * (1 + again) * self.flops_per_token + before

    def expected_tokens(self, examples: int) -> float:
        """Return how many tokens a client that holds so many examples is expected to train on."""
        return self.repeated(examples) * self.tokens_per_example
