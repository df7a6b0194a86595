"""What a base allows, found out by trying: no list of architectures is ever complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from shepherd.model.adapter import Adapter
from shepherd.model.batch import collate
from shepherd.model.stack import AdapterStack

if TYPE_CHECKING:
    from shepherd.model.adapted import AdaptedModel


@torch.no_grad()
def prefixes_are_exact(model: AdaptedModel) -> bool:
    """Say whether rows behind a shared prefix come out as rows that contain it.

    Some architectures keep another kind of past (recurrent, windowed); they compute every row whole.
    """
    prefix, rows = np.arange(1, 6), [(np.arange(3, 8), 1), (np.arange(6, 9), 2)]
    whole = collate(
        [(np.concatenate([prefix, row]), 5 + unlabelled) for row, unlabelled in rows], model.device
    )
    behind = collate(rows, model.device)
    try:
        expected, without = model.token_losses(whole), model.token_losses(behind)
        found = model.token_losses(behind, model.prefix(prefix))
        return _agrees(model, found, expected, without)
    except Exception:  # a trial: whatever goes wrong, the answer is no
        return False


@torch.no_grad()
def stacks_are_exact(model: AdaptedModel) -> bool:
    """Say whether two clients' adapters, carried at once, give each what it gives alone.

    Not where an adapted layer sees other tokens than the batch's, or in another order: experts, for one.
    """
    examples = [(np.arange(1, 6), 1), (np.arange(4, 7), 2), (np.arange(2, 6), 3), (np.arange(3, 8), 2)]
    draw = torch.Generator().manual_seed(0)
    adapters = [
        Adapter.from_vector(model.layout, 0.1 * torch.randn(len(model.vector), generator=draw)) for _ in "ab"
    ]
    before = model.read()
    try:
        alone = []
        for adapter in adapters:
            for part in (examples[:2], examples[2:]):
                model.write(adapter)
                alone.append(model.token_losses(collate(part, model.device)))
        with AdapterStack(model, adapters).carried(2):
            found = model.token_losses(collate(examples, model.device))
        return _agrees(model, found, torch.cat([alone[0], alone[3]]), torch.cat([alone[2], alone[1]]))
    except Exception:  # a trial: whatever goes wrong, the answer is no
        return False
    finally:
        model.write(before)


def _agrees(model: AdaptedModel, found: torch.Tensor, expected: torch.Tensor, without: torch.Tensor) -> bool:
    """Say whether an error is rounding, measured by what getting it wrong altogether would change."""
    precision = torch.finfo(model.base.model.dtype).eps ** 0.5
    return bool((found - expected).abs().max() <= precision * (expected - without).abs().max())
