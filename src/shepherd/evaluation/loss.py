"""Held-out loss: nats per response token, overall and per category."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from shepherd.data.encoding import EncodedExamples
from shepherd.model.batch import Example, collate, load
from shepherd.model.lanes import in_lanes
from shepherd.model.micro_batches import plan

if TYPE_CHECKING:
    from shepherd.model.adapted import AdaptedModel
    from shepherd.model.prefix import SharedPrefix


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
    loaded = load(examples, range(len(examples)))
    sums, labels = np.zeros(len(examples)), np.zeros(len(examples))
    for group in plan([loaded], budget, model.prefix_cost):
        with torch.inference_mode():
            prefix = model.prefix(group.prefix)

        compute = partial(_label_losses, model, loaded, len(group.prefix), prefix)
        for (rows,), (found, owners) in zip(
            group.parts, in_lanes(compute, group.parts, model.lanes), strict=True
        ):
            sums[rows] = np.bincount(owners, weights=found, minlength=len(rows))
            labels[rows] = np.bincount(owners, minlength=len(rows))
    return Losses(sums, labels)


@torch.inference_mode()
def _label_losses(
    model: AdaptedModel,
    loaded: Sequence[Example],
    start: int,
    prefix: SharedPrefix | None,
    part: Sequence[np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the loss of every label of a micro-batch, and which of its rows it belongs to."""
    (places,) = part
    batch = collate([loaded[place] for place in places], model.device, start)
    return model.token_losses(batch, prefix).cpu().double().numpy(), batch.owners.cpu().numpy()
