"""How a run differs from the plainest federation, in words: what its config names that is not the default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Config = Mapping[str, Any]
#: What a run has unless told, of which nothing is said.
_USUAL = {"participation": "random", "capacity": "uniform"}


def named(config: Config, section: str) -> str:
    """Return the name of what a section asks for; nothing where it has none, or the usual one."""
    value = config.get(section)
    name = value.get("name") if isinstance(value, dict) else None
    return "" if name is None or name == _USUAL.get(section) else str(name)


def held(config: Config) -> str:
    """Return the adapter's rank and layers, and what of it clients hold, as it stands after the adapter's name."""
    adapter, capacity = config.get("adapter"), named(config, "capacity")
    adapter = adapter if isinstance(adapter, dict) else {}
    rank, layers = adapter.get("rank"), _layers(adapter.get("layers") or ())
    if not capacity:
        whole = [*([f"rank {rank}"] if rank is not None else []), *layers]
        return f", {', '.join(whole)}," if whole else ""
    tiers = [tier for tier in config["capacity"].get("tiers") or () if isinstance(tier, dict)]
    ranks = sorted({int(own) for tier in tiers if (own := tier.get("rank") or rank)})
    parts = []
    if len(ranks) > 1:
        parts.append(f"ranks {_listed([str(one) for one in ranks])}")
    elif rank is not None:
        parts.append(f"rank {ranks[0]}" if ranks else f"ranks up to {rank}")
    parts += layers
    cut = any(tier.get(part) is not None for tier in tiers for part in ("targets", "layers"))
    if cut or not parts:
        parts.append("not all of it at every client")
    return f", {', '.join(parts)} (capacity: {capacity}),"


def chosen(config: Config) -> str:
    """Return how clients are chosen, as it stands after how many they are; empty where at random."""
    rule = named(config, "participation")
    return f", chosen by {rule}," if rule else ""


def changes(config: Config) -> str:
    """Return what becomes of a client's steps and of its update on the way; empty where nothing does."""
    training = config.get("training")
    correction = named(training, "correction") if isinstance(training, dict) else ""
    transforms = [str(one.get("name")) for one in config.get("transforms") or () if isinstance(one, dict)]
    corrected = f", their steps corrected by {correction}" if correction else ""
    return corrected + (f", their updates sent through {_listed(transforms)}" if transforms else "")


def simulated(config: Config) -> str:
    """Return that devices were simulated; empty where none were."""
    system = named(config, "system")
    return f", on simulated devices ({system})" if system else ""


def _layers(numbers: Sequence[int]) -> list[str]:
    """Return which of the base's layers have an adapter; nothing where all have."""
    if not numbers:
        return []
    ordered = sorted(set(numbers))
    if len(ordered) == 1:
        return [f"in layer {ordered[0]}"]
    if len(ordered) > 2 and ordered[-1] - ordered[0] == len(ordered) - 1:
        return [f"in layers {ordered[0]} to {ordered[-1]}"]
    return [f"in layers {_listed(list(map(str, ordered)))}"]


def _listed(names: list[str]) -> str:
    """Return names as a sentence lists them: a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
