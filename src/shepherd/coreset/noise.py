"""Noise on what clients say of their groups, and an honest account of what it is worth."""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field

from shepherd.settings import Settings


class MeanNoise(Settings):
    """Gaussian noise on every group's mean, which is first scaled and clipped to the unit ball.

    What is protected, and what is not: two means in the unit ball differ by 2 at most, so that is the sensitivity
    of one mean. But replacing one example can move every mean of its client, since reduction and clustering see
    all examples at once; the sensitivity of a whole message of m means is 2 sqrt(m). The number of groups is
    sent as it is, without protection. With the zero-concentrated account (Bun & Steinke, arXiv 1605.02065),
    rho = sensitivity^2 / (2 sigma^2) and epsilon = rho + 2 sqrt(rho ln(1/delta)). Rounds add up their rho.
    FedHDS (arXiv 2410.10926) adds such noise and gives sigma only; sigma^2 = 0.1 is an epsilon of 50 a mean.

    Attributes
    ----------
    sigma : float
        Standard deviation of the noise, in units of the ball's radius.
    delta : float
        The delta at which epsilon is given, in (0, 1).
    scale : float, optional
        What a mean is divided by before it is clipped: a public constant, above the usual length of a mean in
        its frame. 1 unless told, which suits shared projections and PCA; t-SNE's lengths are 3 to 30, so there it
        has to be told: clipped, all that is left of a mean is its direction.
    """

    sigma: float = Field(gt=0, examples=[1.0])
    delta: float = Field(1e-5, gt=0, lt=1)
    scale: float | None = Field(None, gt=0)

    def add(self, means: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """Return the means, [groups, width], scaled, clipped and noised."""
        scaled = means / (self.scale or 1.0)
        lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
        clipped = scaled / np.maximum(lengths, 1)
        return (clipped + draw.normal(0, self.sigma, means.shape)).astype(np.float32)

    def epsilon(self, groups: int) -> float:
        """Return epsilon of a message of so many groups' means."""
        rho = 2 * groups / self.sigma**2
        return rho + 2 * math.sqrt(rho * math.log(1 / self.delta))
