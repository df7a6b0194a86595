"""The client's side of selection: its examples in groups, and who stands for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from shepherd.coreset.clusters import Clusters, find_clusters
from shepherd.tree import Tree


@dataclass(frozen=True)
class Groups:
    """A client's examples in groups. All of it stays at the client.

    Attributes
    ----------
    points : ndarray of float32, [examples, dimensions]
        The examples in the frame they were clustered in.
    labels : ndarray of int64, [examples]
        The group of each; -1 in none.
    members : list of ndarray of int64, [groups]
        Each group's examples, the one nearest to its centre first.
    weights : list of ndarray of float64, [groups]
        How much each of them belongs to it.
    """

    points: np.ndarray
    labels: np.ndarray
    members: list[np.ndarray]
    weights: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.members)

    def means(self, features: np.ndarray) -> np.ndarray:
        """Return each group's mean of some features of the examples, weighted by membership, [groups, width]."""
        return np.stack(
            [
                np.average(features[members], axis=0, weights=weights)
                for members, weights in zip(self.members, self.weights, strict=True)
            ]
        ).astype(np.float32)

    def representatives(self, count: int) -> np.ndarray:
        """Return the `count` examples nearest to each group's centre, [groups, count]; -1 where there are no more."""
        found = np.full((len(self), count), -1, np.int64)
        for group, members in enumerate(self.members):
            found[group, : len(members)] = members[:count]
        return found

    def to_tree(self) -> Tree:
        """Return what a picture of the groups needs."""
        return {"points": torch.from_numpy(self.points), "labels": torch.from_numpy(self.labels)}


def group(points: np.ndarray, smallest: int, keep_lonely: bool) -> Groups:
    """Cluster a client's examples (FedHDS, arXiv 2410.10926, section 4.1).

    Where no cluster is found, all examples are one group, so that nobody is left out who has something.

    Parameters
    ----------
    points : ndarray, [examples, dimensions]
        The examples.
    smallest : int
        The fewest examples that make a cluster.
    keep_lonely : bool
        Make a group of each example that is in no cluster; the paper drops them.
    """
    clusters = find_clusters(points, smallest)
    if clusters.count == 0:
        clusters = Clusters(np.zeros(len(points), np.int64), np.ones(len(points)))
    members = [_nearest_first(points, clusters, number) for number in range(clusters.count)]
    labels = clusters.labels.copy()
    if keep_lonely:
        lonely = np.flatnonzero(labels < 0)
        labels[lonely] = np.arange(len(members), len(members) + len(lonely))
        members += [np.array([example]) for example in lonely]
    weights = [clusters.weights[own] if clusters.labels[own[0]] >= 0 else np.ones(1) for own in members]
    return Groups(points.astype(np.float32), labels, members, weights)


def _nearest_first(points: np.ndarray, clusters: Clusters, number: int) -> np.ndarray:
    members = clusters.members(number)
    distances = np.linalg.norm(points[members] - clusters.centre(points, number), axis=1)
    return members[np.argsort(distances, kind="stable")]
