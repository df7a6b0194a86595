"""Corrections: what is added to a client's gradient to keep its local training near everybody else's.

A correction is element by element, so the same line serves one client and several trained at once.
"""

from __future__ import annotations

import torch
from pydantic import Field

from shepherd.strategy import Strategy, one_of


class Correction(Strategy):
    """Changes the gradient of every local step, before it is clipped."""

    def gradient(self, gradient: torch.Tensor, values: torch.Tensor, anchor: torch.Tensor) -> torch.Tensor:
        """Return the corrected gradient.

        Parameters
        ----------
        gradient : Tensor, [clients, parameters]
            The gradient of the local loss.
        values : Tensor, [clients, parameters]
            The clients' adapters now.
        anchor : Tensor, [clients, parameters]
            The global adapter they started the round from.
        """
        raise NotImplementedError


class FedProx(Correction):
    """``g + mu (y - x)``: the gradient of ``mu / 2 |y - x|^2`` is added (arXiv 1812.06127, equation 2).

    Attributes
    ----------
    mu : float
        How strongly a client is held to the global adapter.
    """

    name: str = "fedprox"
    mu: float = Field(0.01, ge=0)

    def gradient(self, gradient: torch.Tensor, values: torch.Tensor, anchor: torch.Tensor) -> torch.Tensor:
        """Add the proximal term's gradient."""
        return gradient + self.mu * (values - anchor)


CorrectionChoice = one_of(Correction, FedProx)
