"""Frames: what a client clusters its examples in, and what it says of its groups to the server.

A frame of the client's own (t-SNE, PCA) shows its groups well and means nothing to anybody else; two clients'
coordinates can only be compared in a projection that both share.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from threadpoolctl import threadpool_limits

from shepherd.randomness import generator

_PERPLEXITY = 30  # scikit-learn's and the paper's


def by_tsne(features: np.ndarray, dimensions: int, seed: int) -> np.ndarray:
    """Return Barnes-Hut t-SNE coordinates, as in FedHDS (arXiv 2410.10926, section 4.1).

    Parameters
    ----------
    features : ndarray, [examples, width]
        One client's.
    dimensions : int
        2 or 3.
    seed : int
        Of its random draws.

    Returns
    -------
    ndarray of float32, [examples, dimensions]
        Of fewer than four examples, or of equal ones, their principal components: there is no map to be made.
    """
    from sklearn.manifold import TSNE

    if len(features) < 4 or np.ptp(features, axis=0).max() == 0:
        return by_pca(features, dimensions)
    settings = TSNE(dimensions, perplexity=min(_PERPLEXITY, len(features) - 1), random_state=seed, n_jobs=1)
    # One thread: with several the order of its sums, and with it the bits, would vary.
    with threadpool_limits(1):
        found: np.ndarray = settings.fit_transform(features.astype(np.float32))
    return found.astype(np.float32)


def by_pca(features: np.ndarray, dimensions: int) -> np.ndarray:
    """Return the first principal components, float32 [examples, dimensions]; zeros where there are no more."""
    found = np.zeros((len(features), dimensions), dtype=np.float32)
    if len(features) > 1 and np.ptp(features, axis=0).max() > 0:
        components, mean = principal_components(features, dimensions)
        found[:, : components.shape[1]] = (features - mean) @ components
    return found


def principal_components(features: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first directions of the greatest variance, [width, up to count], and the mean, [width]."""
    from sklearn.decomposition import PCA

    with threadpool_limits(1):  # as above
        fitted = PCA(min(count, *features.shape), random_state=0).fit(features.astype(np.float32))
    return fitted.components_.T, fitted.mean_


@lru_cache(maxsize=4)
def random_directions(width: int, count: int, seed: int) -> np.ndarray:
    """Return a Gaussian matrix, float32 [width, count], that keeps lengths in expectation (Johnson-Lindenstrauss).

    Everybody who knows the run's seed draws the same one.
    """
    draw = generator(seed, "shared projection", width, count)
    return (draw.standard_normal((width, count)) / np.sqrt(count)).astype(np.float32)
