"""Clusters of points, by HDBSCAN.

It knows points and how many make a cluster; not what they stand for, nor who wants to know. scikit-learn
condenses the hierarchy and chooses the clusters in it. The hierarchy is built in `neighbour_graph`, because
scikit-learn's own takes time in the square of the number of points and goes wrong where points coincide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # loaded where points are clustered: most commands wait for neither
    from scipy.sparse import csr_array

#: Of the largest coordinate: points that are closer coincide. HDBSCAN divides by distances.
_CLOSEST = 1e-15


@dataclass(frozen=True)
class Clusters:
    """A partition of points into clusters and noise.

    Attributes
    ----------
    labels : ndarray of int64, [points]
        Each point's cluster, from 0 to ``count - 1``; -1 where it belongs to none.
    weights : ndarray of float64, [points]
        How strongly it belongs there, in [0, 1]: HDBSCAN's membership probability; 0 where it belongs to none.
    """

    labels: np.ndarray
    weights: np.ndarray

    @property
    def count(self) -> int:
        """How many clusters there are."""
        return int(self.labels.max(initial=-1)) + 1

    def members(self, cluster: int) -> np.ndarray:
        """Return the places of a cluster's points, in ascending order."""
        return np.flatnonzero(self.labels == cluster)

    def centre(self, points: np.ndarray, cluster: int) -> np.ndarray:
        """Return the mean of a cluster's points, weighted by membership.

        Parameters
        ----------
        points : ndarray of float, [points, dimensions]
            The points that were clustered, or what else there is of each.
        cluster : int
            The cluster's number.
        """
        members = self.members(cluster)
        return np.average(np.asarray(points)[members], axis=0, weights=self.weights[members])


def find_clusters(points: np.ndarray, smallest: int) -> Clusters:
    """Find clusters by HDBSCAN* (Campello et al., 2013) with excess of mass, never all points as a single one.

    A core distance is that to the ``smallest + 1``-th nearest point, the point itself counted, as in the
    package hdbscan when only ``min_cluster_size`` is given; to the farthest if there are fewer points. Ties
    are broken by distance, then by coordinates, so that the partition does not depend on the points' order.

    Fewer than `smallest` points have no cluster. Points that are all the same are one cluster of full weight,
    if there are enough of them: it would be odd to call those noise that could not be more alike. Among
    others, more than `smallest` points at one place are a peak of boundless density, of full weight: the
    other members of their cluster weigh next to nothing.

    Parameters
    ----------
    points : ndarray of float, [points, dimensions]
        What is to be clustered, in Euclidean space. Up to 300 different points are clustered exactly, more
        by their nearest neighbours.
    smallest : int
        How many points a cluster has at least; 2 or more.

    Raises
    ------
    ValueError
        If the points are no finite matrix, or `smallest` is less than 2.
    """
    from sklearn.cluster import HDBSCAN

    points = _checked(points)
    if smallest < 2:
        raise ValueError(f"A cluster has at least 2 points; {smallest} was asked for as the fewest.")
    labels, weights = np.full(len(points), -1, dtype=np.int64), np.zeros(len(points))
    if len(points) < smallest:
        return Clusters(labels, weights)
    order, first = _sorted(points)
    if first.sum() == 1:
        return Clusters(labels + 1, weights + 1)
    tree = _tree(points[order], first, min(smallest + 1, len(points)))
    # The tree's weights are mutual reachability already: with a single sample scikit-learn leaves them alone.
    found = HDBSCAN(min_cluster_size=smallest, min_samples=1, metric="precomputed", copy=False).fit(tree)
    labels[order], weights[order] = found.labels_, found.probabilities_
    return Clusters(labels, weights)


def _checked(points: np.ndarray) -> np.ndarray:
    """Return the points in float64, none above 1 in magnitude: what is found does not depend on the unit."""
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2:
        raise ValueError(f"Points are the rows of a matrix; these have the shape {points.shape}.")
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(bad):
        raise ValueError(
            f"Points must be finite to be clustered; {len(bad)} of {len(points)} are not, "
            f"the first of them point {bad[0]}."
        )
    _, exponent = np.frexp(np.abs(points).max(initial=0.0))
    return np.ldexp(points, -exponent)


def _sorted(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return an order that depends on coordinates only, and which points in it differ from the one before."""
    order = np.lexsort(points.T) if points.shape[1] else np.arange(len(points))
    first = np.ones(len(points), dtype=bool)
    first[1:] = (np.diff(points[order], axis=0) != 0).any(axis=1)
    return order, first


def _tree(points: np.ndarray, first: np.ndarray, samples: int) -> csr_array:
    """Return the spanning tree of all points, of which those at one place are next to each other."""
    from scipy.sparse import csr_array

    from shepherd.coreset.neighbour_graph import spanning_tree

    places = np.flatnonzero(first)
    counts = np.diff(places, append=len(points))
    tree, core = spanning_tree(points[places], counts, samples)
    tree = tree.tocoo()
    copies = np.flatnonzero(~first)
    place = np.cumsum(first)[copies] - 1
    starts = np.concatenate([places[tree.row], places[place]])
    ends = np.concatenate([places[tree.col], copies])
    weights = np.maximum(np.concatenate([tree.data, core[place]]), _CLOSEST)
    both = (np.tile(weights, 2), (np.concatenate([starts, ends]), np.concatenate([ends, starts])))
    return csr_array(both, shape=(len(points), len(points)))
