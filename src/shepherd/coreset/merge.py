"""The server's side of selection: of groups that several clients have, one stays."""

from __future__ import annotations

import numpy as np

from shepherd.coreset.clusters import find_clusters


def nearest_of_each(means: np.ndarray, smallest: int, keep_lonely: bool) -> np.ndarray:
    """Cluster groups' means, and return of every cluster the one nearest to its centre, [survivors], ascending.

    FedHDS (arXiv 2410.10926, section 4.2). Where there is nothing to merge, fewer than two groups or no cluster
    among them, all stay: a round without anybody to train would be lost.

    Parameters
    ----------
    means : ndarray, [groups, width]
        All clients' groups.
    smallest : int
        The fewest groups that make a cluster.
    keep_lonely : bool
        Keep the groups that are in no cluster, the unique ones; the paper drops them.
    """
    clusters = find_clusters(means, smallest) if len(means) > 1 else None
    if clusters is None or clusters.count == 0:
        return np.arange(len(means))
    survivors = [
        _nearest(means, clusters.members(j), clusters.centre(means, j)) for j in range(clusters.count)
    ]
    lonely = np.flatnonzero(clusters.labels < 0) if keep_lonely else np.zeros(0, np.int64)
    return np.sort(np.concatenate([np.array(survivors, np.int64), lonely]))


def _nearest(points: np.ndarray, members: np.ndarray, centre: np.ndarray) -> int:
    return int(members[np.linalg.norm(points[members] - centre, axis=1).argmin()])


def farthest_first(points: np.ndarray, count: int) -> np.ndarray:
    """Return greedy k-centre: begin nearest to the mean, then always take what is farthest from all taken.

    Gonzalez (1985); never farther from the best than a factor of two (Sener & Savarese, arXiv 1708.00489). Equal
    points are taken once, so fewer than `count` may come back.

    Parameters
    ----------
    points : ndarray, [points, width]
        What to cover.
    count : int
        How many to take, at most.

    Returns
    -------
    ndarray of int64, [taken]
        Places in `points`, ascending.
    """
    if len(points) == 0:
        return np.zeros(0, np.int64)
    points = (points - points.mean(axis=0)).astype(np.float64)
    squares = (points**2).sum(axis=1)
    rounding = 1e-12 * float(squares.max())
    taken, distance = [int(squares.argmin())], np.full(len(points), np.inf)
    while len(taken) < count:
        last = taken[-1]
        distance = np.minimum(distance, squares + squares[last] - 2 * (points @ points[last]))
        farthest = int(distance.argmax())
        if distance[farthest] <= rounding:
            break
        taken.append(farthest)
    return np.sort(np.array(taken, np.int64))
