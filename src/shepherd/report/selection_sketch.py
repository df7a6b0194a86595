"""The sketch of a run's last selection, `selection.json`, read back and checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shepherd.errors import ShepherdError


@dataclass(frozen=True)
class ClientGroups:
    """One client's examples in its groups, in the plane in which it sees them.

    Attributes
    ----------
    name : str
        The client.
    examples, groups, selected : int
        How many it has, how many groups it made of them, and how many it trains on.
    points : ndarray of float64, [points, 2]
        Its examples, or some of them.
    labels : ndarray of int64, [points]
        The group of each; -1 in none.
    chosen : ndarray of int64
        Places in `points` of what it trains on.
    """

    name: str
    examples: int
    groups: int
    selected: int
    points: np.ndarray
    labels: np.ndarray
    chosen: np.ndarray


@dataclass(frozen=True)
class SelectionSketch:
    """What there is to see of one round's selection.

    Attributes
    ----------
    round : int
        The round, from 1.
    clients_asked, groups_found, groups_survived : int
        How many there were in all.
    clients : list of ClientGroups
        Some of them, first of all those that train.
    owners : list of str, [groups]
        The clients of the groups that are shown.
    means : ndarray of float64, [groups, 2]
        Their means, in one plane.
    survived : ndarray of bool, [groups]
        Whether they are trained on.
    """

    round: int
    clients_asked: int
    groups_found: int
    groups_survived: int
    clients: list[ClientGroups]
    owners: list[str]
    means: np.ndarray
    survived: np.ndarray


def read_sketch(folder: Path) -> SelectionSketch | None:
    """Return the sketch in a run directory, or None where there is none.

    Raises
    ------
    ShepherdError
        If the file is damaged.
    """
    path = folder / "selection.json"
    if not path.exists():
        return None
    try:
        return _sketch(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise ShepherdError(f"{path} is damaged and cannot be read; restore it or repeat the run.") from error


def _sketch(value: dict[str, Any]) -> SelectionSketch:
    counts = {key: int(value[key]) for key in ("round", "clients_asked", "groups_found", "groups_survived")}
    groups = value["groups"]
    if not value["clients"]:
        raise ValueError("a selection among nobody")
    return SelectionSketch(
        **counts,
        clients=[_client(client) for client in value["clients"]],
        owners=[str(group["client"]) for group in groups],
        means=_plane([[group["x"], group["y"]] for group in groups]),
        survived=np.array([bool(group["survived"]) for group in groups], bool),
    )


def _client(value: dict[str, Any]) -> ClientGroups:
    points = _plane(value["points"])
    labels, chosen = np.array(value["labels"], np.int64), np.array(value["chosen"], np.int64)
    if labels.shape != (len(points),) or not np.isin(chosen, np.arange(len(points))).all():
        raise ValueError("labels or choices of points that are not there")
    counts = {key: int(value[key]) for key in ("examples", "groups", "selected")}
    return ClientGroups(str(value["name"]), **counts, points=points, labels=labels, chosen=chosen)


def _plane(points: list[list[float]]) -> np.ndarray:
    plane = np.array(points, np.float64).reshape(len(points), 2)
    if not np.isfinite(plane).all():
        raise ValueError("a point that is not finite")
    return plane
