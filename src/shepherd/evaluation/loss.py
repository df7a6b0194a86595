"""Held-out loss: nats per response token, overall and per category."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from shepherd.data.encoding import EncodedExamples
from shepherd.model.batch import make_batch
from shepherd.model.micro_batches import plan

if TYPE_CHECKING:
    from shepherd.model.adapted import AdaptedModel


@dataclass(frozen=True)
class Losses:
    """Summed loss (nats, float64) and number of labels of every held-out example."""

    sums: np.ndarray
    labels: np.ndarray

    @property
    def mean(self) -> float:
        """Nats per response token over all examples."""
        return float(self.sums.sum() / self.labels.sum())

    def by_group(self, groups: np.ndarray) -> dict[str, float]:
        """Return nats per response token within every group of examples."""
        return {
            str(group): float(self.sums[groups == group].sum() / self.labels[groups == group].sum())
            for group in np.unique(groups)
        }


@torch.inference_mode()
def held_out_losses(model: AdaptedModel, examples: EncodedExamples, budget: int) -> Losses:
    """Return the loss of every example under the adapter that is in `model`.

    Parameters
    ----------
    model : AdaptedModel
        The model, in evaluation mode.
    examples : EncodedExamples
        The held-out examples.
    budget : int
        Padded tokens in a batch, at most.
    """
    sums, labels = np.zeros(len(examples)), np.zeros(len(examples))
    for group in plan(examples, np.arange(len(examples)), budget, model.prefix_cost):
        prefix = model.prefix(group.prefix)
        for rows in group.parts:  # every row was asked for in order, so a place is a row
            batch = make_batch(examples, rows, model.device, len(group.prefix))
            losses = model.token_losses(batch, prefix).cpu().double().numpy()
            owners = batch.owners.cpu().numpy()
            sums[rows] = np.bincount(owners, weights=losses, minlength=len(rows))
            labels[rows] = np.bincount(owners, minlength=len(rows))
    return Losses(sums, labels)
