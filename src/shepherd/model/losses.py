"""The loss of every example under the adapter that is in the model, without gradients.

It knows batches and losses; what they are wanted for, evaluation or choosing examples, is others' business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from shepherd.model.batch import Example, collate
from shepherd.model.lanes import in_lanes
from shepherd.model.micro_batches import plan, token_budget

if TYPE_CHECKING:
    from shepherd.model.adapted import AdaptedModel
    from shepherd.model.prefix import SharedPrefix


@dataclass(frozen=True)
class ExampleLosses:
    """Summed loss (nats, float64) and number of labels of every example, [examples]."""

    sums: np.ndarray
    labels: np.ndarray

    @property
    def mean(self) -> float:
        """Nats per label over all examples."""
        return float(self.sums.sum() / self.labels.sum())

    def by_group(self, groups: np.ndarray) -> dict[str, float]:
        """Return nats per label within every group of examples."""
        return {
            str(group): float(self.sums[groups == group].sum() / self.labels[groups == group].sum())
            for group in np.unique(groups)
        }

    @property
    def means(self) -> np.ndarray:
        """Nats per label of every example; 0 where there is no label."""
        return self.sums / np.maximum(self.labels, 1)


def example_losses(
    model: AdaptedModel, examples: Sequence[Example], budget: int | None = None
) -> ExampleLosses:
    """Return the loss of every example under the adapter that is in `model`.

    Parameters
    ----------
    model : AdaptedModel
        The model, in evaluation mode.
    examples : sequence of Example
        What to compute the loss of.
    budget : int, optional
        Padded tokens in a micro-batch, at most (one example may be longer); unless told, as many as in training.
    """
    sums, labels = np.zeros(len(examples)), np.zeros(len(examples))
    for group in plan([examples], budget or token_budget(model.device), model.prefix_cost):
        with torch.inference_mode():
            prefix = model.prefix(group.prefix)

        compute = partial(_label_losses, model, examples, len(group.prefix), prefix)
        for (rows,), (found, owners) in zip(
            group.parts, in_lanes(compute, group.parts, model.lanes), strict=True
        ):
            sums[rows] = np.bincount(owners, weights=found, minlength=len(rows))
            labels[rows] = np.bincount(owners, minlength=len(rows))
    return ExampleLosses(sums, labels)


@torch.inference_mode()
def _label_losses(
    model: AdaptedModel,
    examples: Sequence[Example],
    start: int,
    prefix: SharedPrefix | None,
    part: Sequence[np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the loss of every label of a micro-batch, and which of its rows it belongs to."""
    (places,) = part
    batch = collate([examples[place] for place in places], model.device, start)
    return model.token_losses(batch, prefix).cpu().double().numpy(), batch.owners.cpu().numpy()
