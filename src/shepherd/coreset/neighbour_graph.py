"""A minimum spanning tree of points under mutual reachability, from their nearest neighbours.

It knows distances, and nothing of clusters. All pairs of points are looked at only if they are few; otherwise
the tree is that of the graph of nearest neighbours, whose components are joined one nearest pair at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from sklearn.neighbors import KDTree, NearestNeighbors

#: So many points have each other for neighbours: their tree is exact.
_FEW = 300
#: Otherwise a point has at least as many neighbours as this in the graph, and at most as many as that.
_FEWEST, _MOST = 16, 64
#: Of all distances, the part a tree search may compute before matrix products, which compute all, are quicker.
_WORTHWHILE = 0.03
#: Points a probe asks for to find that part.
_PROBES = 256
#: Entries of a matrix that is held at once.
_BLOCK = 1 << 22
#: Of edges that reach equally far, as all that one core distance decides do, the shorter one comes first.
_TIE = 1e-9


def spanning_tree(points: np.ndarray, counts: np.ndarray, samples: int) -> tuple[csr_array, np.ndarray]:
    """Return the minimum spanning tree under mutual reachability ``max(core(a), core(b), |a - b|)``.

    Parameters
    ----------
    points : ndarray of float64, [points, dimensions]
        Two or more points, no two the same, of magnitudes that can be squared.
    counts : ndarray of int, [points]
        How often each of them occurs.
    samples : int
        The core distance of a point is that to the `samples`-th nearest occurrence, itself the first.

    Returns
    -------
    (csr_array, ndarray)
        The tree, [points, points], each edge once, its weights above zero; and the core distances.
    """
    points = points - points.mean(axis=0)
    many = len(points) > _FEW
    wanted = min(len(points), max(samples, _FEWEST) + 1) if many else len(points)
    search = _search(points, wanted)
    core = np.empty(len(points))
    found = []
    for rows in _blocks(len(points), wanted * points.shape[1]):
        neighbours, lengths = _neighbours(search, points, rows, wanted)
        core[rows] = _core_distances(neighbours, lengths, rows, counts, samples)
        kept = slice(None, _MOST + 1 if many else None)
        found.append((np.repeat(rows, lengths[:, kept].shape[1]), neighbours[:, kept].ravel()))
    starts, ends = (np.concatenate(part) for part in zip(*found, strict=True))
    tree = _spanning_forest(points, core, starts, ends)
    component = connected_components(tree, directed=False)[1]
    while component.any():
        bridges = _bridges(points, core, component)
        edges = [np.concatenate(part) for part in zip(tree.nonzero(), bridges, strict=True)]
        tree = _spanning_forest(points, core, *edges)
        component = connected_components(tree, directed=False)[1]
    return tree, core


def _blocks(rows: int, width: int) -> Iterator[np.ndarray]:
    size = max(1, _BLOCK // width)
    return (np.arange(start, min(start + size, rows)) for start in range(0, rows, size))


def _search(points: np.ndarray, wanted: int) -> NearestNeighbors:
    """Return what finds neighbours quickest in these points, by the distances a tree computes for some of them."""
    tree = KDTree(points)
    probes = points[:: -(-len(points) // _PROBES)]
    tree.reset_n_calls()
    tree.query(probes, wanted)
    computed = tree.get_n_calls() / (len(probes) * len(points))
    quickest = "kd_tree" if computed < _WORTHWHILE else "brute"
    # Matrix products take their share of the cores by themselves, a tree has to be told it.
    threads = torch.get_num_threads()
    return NearestNeighbors(n_neighbors=wanted, algorithm=quickest, n_jobs=threads).fit(points)


def _neighbours(
    search: NearestNeighbors, points: np.ndarray, rows: np.ndarray, wanted: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the neighbours of `rows` and how far they are, nearest first.

    Matrix products find the neighbours, but cancel most digits of small distances: these are computed again.
    """
    neighbours = search.kneighbors(points[rows], wanted, return_distance=False)
    lengths = np.linalg.norm(points[neighbours] - points[rows, None], axis=2)
    order = np.argsort(lengths, axis=1, kind="stable")
    return np.take_along_axis(neighbours, order, axis=1), np.take_along_axis(lengths, order, axis=1)


def _core_distances(
    neighbours: np.ndarray, lengths: np.ndarray, rows: np.ndarray, counts: np.ndarray, samples: int
) -> np.ndarray:
    others = np.where(neighbours == rows[:, None], 0, counts[neighbours])
    enough = counts[rows, None] + np.cumsum(others, axis=1) >= samples
    core = np.take_along_axis(lengths, np.argmax(enough, axis=1)[:, None], axis=1)[:, 0]
    return np.where(counts[rows] >= samples, 0.0, core)


def _spanning_forest(points: np.ndarray, core: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> csr_array:
    """Return the minimum spanning trees of the graph that has these edges, one for each of its components."""
    real = starts != ends
    starts, ends = starts[real], ends[real]
    weights = np.empty(len(starts))
    for edges in _blocks(len(starts), points.shape[1]):
        one, other = starts[edges], ends[edges]
        length = np.linalg.norm(points[one] - points[other], axis=1)
        weights[edges] = np.maximum(np.maximum(core[one], core[other]), length) + _TIE * length
    # An edge of no length is an edge all the same, and adding up the copies of one would lengthen it.
    order = np.lexsort((ends, starts))
    starts, ends, weights = starts[order], ends[order], np.maximum(weights[order], np.finfo(float).tiny)
    first = np.ones(len(starts), dtype=bool)
    first[1:] = (starts[1:] != starts[:-1]) | (ends[1:] != ends[:-1])
    shape = (len(points), len(points))
    graph = csr_array((weights[first], (starts[first], ends[first])), shape=shape)
    return csr_array(minimum_spanning_tree(graph))


def _bridges(points: np.ndarray, core: np.ndarray, component: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return an edge out of every component but the largest.

    Each goes from the middle to the nearest point outside, back to the nearest one inside, and so on for two
    turns: a short way out, not always the shortest. It parts what lies apart anyhow.
    """
    order = np.argsort(component, kind="stable")
    sizes = np.bincount(component)
    members = np.split(order, np.cumsum(sizes)[:-1])
    del members[int(np.argmax(sizes))]
    inside = np.array([_closest(points, core, own, points[own].mean(axis=0)) for own in members])
    for _ in range(2):
        outside = _closest_outside(points, core, component, inside)
        inside = np.array(
            [_closest(points, core, own, points[end]) for own, end in zip(members, outside, strict=True)]
        )
    return inside, outside


def _closest(points: np.ndarray, core: np.ndarray, members: np.ndarray, target: np.ndarray) -> int:
    lengths = np.linalg.norm(points[members] - target, axis=1)
    return int(members[np.lexsort((lengths, np.maximum(lengths, core[members])))[0]])


def _closest_outside(
    points: np.ndarray, core: np.ndarray, component: np.ndarray, starts: np.ndarray
) -> np.ndarray:
    """Return, for each start, the point of another component that is nearest to it under mutual reachability."""
    squares = np.einsum("ij,ij->i", points, points)
    closest = np.empty(len(starts), dtype=np.int64)
    for rows in _blocks(len(starts), len(points)):
        own = starts[rows]
        lengths = points[own] @ points.T
        lengths *= -2
        lengths += squares
        lengths += squares[own, None]
        np.maximum(lengths, (core**2)[None], out=lengths)
        lengths[component[own, None] == component[None]] = np.inf
        closest[rows] = np.argmin(lengths, axis=1)
    return closest
