"""Steps on preferences: pairs of answers to the same prompt, one of which was found better.

It knows pairs, their loss and its gradient; it does not know rounds, nor where the reference comes from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import logsigmoid

from shepherd.model.batch import Examples, collate, count_labels
from shepherd.model.lanes import in_lanes
from shepherd.model.losses import example_losses
from shepherd.model.micro_batches import plan
from shepherd.model.pairs import ACCURACY, MARGIN, load_pairs, share_right
from shepherd.model.stack import Carried
from shepherd.training.base import LocalOutcome
from shepherd.training.correction import CorrectedStack
from shepherd.training.steps import ClientSteps, StepBatch, dropout_seed, loss_dtype

if TYPE_CHECKING:
    from shepherd.model.adapted import AdaptedModel


@dataclass(frozen=True)
class PairLoss:
    """The loss of a pair (DPO, arXiv 2305.18290, equation 7).

    Attributes
    ----------
    beta : float
        What a margin is multiplied by.
    label_smoothing : float
        The share of pairs taken to be the wrong way round.
    per_token : bool
        Divide every answer's log-ratio by its number of labels.
    """

    beta: float
    label_smoothing: float
    per_token: bool

    def __call__(self, margins: torch.Tensor) -> torch.Tensor:
        """Return every pair's loss, given by how many nats the chosen answer gained more than the rejected one."""
        wrong, logits = self.label_smoothing, self.beta * margins
        return -(1 - wrong) * logsigmoid(logits) - wrong * logsigmoid(-logits)


@dataclass(frozen=True)
class PairBatch(StepBatch):
    """Pairs: of each the chosen answer, and then of each the rejected one.

    Attributes
    ----------
    reference : ndarray of float64, [2 * pairs]
        Summed loss of each under the reference, in nats.
    """

    reference: np.ndarray = field(default_factory=lambda: np.empty(0))

    @property
    def terms(self) -> int:
        """Number of what the loss is a mean over: pairs."""
        return self.size

    @property
    def size(self) -> int:
        """Number of pairs."""
        return len(self.examples) // 2

    def parts(self, budget: int) -> list[np.ndarray]:
        """Cut the pairs into micro-batches of a bounded number of padded tokens; return the places of their rows."""
        both = zip(self.examples[: self.size], self.examples[self.size :], strict=True)
        longer = [max(pair, key=lambda example: len(example[0])) for pair in both]
        groups = plan([longer], max(1, budget // 2))
        return [np.concatenate([pairs, pairs + self.size]) for group in groups for (pairs,) in group.parts]


@dataclass(frozen=True)
class Reference:
    """The summed loss of both answers of some pairs under the model that they are compared with.

    Attributes
    ----------
    places : dict of int to int
        Which of the pairs a row is.
    sums : ndarray of float64, [2, pairs]
        In nats: of the chosen answers, and of the rejected ones.
    """

    places: dict[int, int]
    sums: np.ndarray

    @classmethod
    def of(cls, model: AdaptedModel, examples: Examples, rows: np.ndarray, budget: int) -> Reference:
        """Compute it of the pairs at `rows`, each once, under what is in `model` now; nothing drops out."""
        rows = np.unique(rows)
        losses = example_losses(model, load_pairs(examples, rows), budget)
        return cls({int(row): place for place, row in enumerate(rows)}, losses.sums.reshape(2, len(rows)))

    def at(self, rows: np.ndarray) -> np.ndarray:
        """Return the losses of the pairs at some rows, as `PairBatch` has them."""
        return self.sums[:, [self.places[int(row)] for row in rows]].reshape(-1)


@dataclass
class PairSteps(ClientSteps):
    """One client in training on pairs, and what was seen of them on the way.

    Attributes
    ----------
    reference : Reference
        What its adapter is compared with.
    margins : list of Tensor, [pairs]
        Of every step, in nats: how much more probable than under the reference the chosen answers were, less the same
        of the rejected ones.
    """

    reference: Reference = field(default_factory=lambda: Reference({}, np.empty((2, 0))))
    margins: list[torch.Tensor] = field(default_factory=list)

    def load(self, step: int) -> PairBatch:
        """Read a step's pairs."""
        rows = self.batches[step]
        examples = load_pairs(self.task.examples, rows)
        return PairBatch(examples, dropout_seed(self.task), step, self.reference.at(rows))

    def outcome(self, loss: float, squares: float, corrected: CorrectedStack | None) -> LocalOutcome:
        """Say what was done; and the share of pairs with a margin above 0 and the mean margin, as they went."""
        outcome = super().outcome(loss, squares, corrected)
        margins = torch.cat(self.margins).cpu().numpy()
        said = {ACCURACY: share_right(margins), MARGIN: float(margins.mean())}
        return replace(outcome, said={**outcome.said, **said})


def add_pair_gradients(
    model: AdaptedModel, carried: Carried, batch: PairBatch, loss: PairLoss, budget: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Add the gradient of the mean loss of a batch of pairs; both answers of a pair are in one micro-batch.

    Parameters
    ----------
    model : AdaptedModel
        Carries the client's adapter.
    carried : Carried
        What it carries.
    batch : PairBatch
        What the step is taken on.
    loss : PairLoss
        Of a pair.
    budget : int
        Padded tokens in a micro-batch, at most (one pair may be longer).

    Returns
    -------
    (Tensor, Tensor)
        The losses, summed over pairs, []; and the pairs' margins in nats, [pairs].
    """
    total = torch.zeros((), dtype=loss_dtype(model.device), device=model.device)
    margins = torch.zeros(batch.size, dtype=total.dtype, device=model.device)

    def differentiate(rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, Sequence[torch.Tensor | None]]:
        """Return a micro-batch's summed loss, its margins, and the gradients of the adapter's tensors."""
        found = _margins(model, batch, rows, loss.per_token)
        losses = loss(found).sum()
        gradients = torch.autograd.grad(losses / batch.size, carried.leaves, allow_unused=True)
        return losses.detach(), found.detach(), gradients

    parts = batch.parts(budget)
    for rows, (losses, found, gradients) in zip(
        parts, in_lanes(differentiate, parts, model.lanes), strict=True
    ):
        total += losses
        margins[torch.from_numpy(rows[: len(found)]).to(model.device)] = found
        carried.add(gradients)
    return total, margins


def _margins(model: AdaptedModel, batch: PairBatch, rows: np.ndarray, per_token: bool) -> torch.Tensor:
    """Return the margins of the pairs whose answers are at `rows` of a batch, chosen ones first."""
    examples = [batch.examples[row] for row in rows]
    made = collate(examples, model.device, 0, batch.keys(rows) if model.drops_out else None)
    dtype = loss_dtype(model.device)
    each = torch.arange(len(rows), device=model.device)[:, None]
    # As a product, not by index_add: that adds in no fixed order on a GPU.
    sums = (made.owners == each).to(dtype) @ model.token_losses(made).to(dtype)
    gained = torch.from_numpy(batch.reference[rows]).to(dtype).to(model.device) - sums
    if per_token:
        labels = [count_labels([example]) for example in examples]
        gained = gained / torch.tensor(labels, device=model.device)
    chosen, rejected = gained.chunk(2)
    return chosen - rejected
