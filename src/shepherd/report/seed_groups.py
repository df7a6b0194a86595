"""Which runs are one method: those that differ in nothing but the seed, and where they are kept."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shepherd.errors import ShepherdError
from shepherd.report.record import Record

_SEED = re.compile(r"(?P<stem>.+?)(?:[-_]+(?:seed|s)?|seed)[-_]*(?P<seed>\d+)")


@dataclass(frozen=True)
class SeedGroup:
    """The runs of one method, by seed; `home` is the key of the method whose baseline it is."""

    home: str | None
    by_seed: dict[int, Record] = field(default_factory=dict)

    @property
    def first(self) -> Record:
        """Any one of the runs, where all say the same."""
        return next(iter(self.by_seed.values()))

    @property
    def label(self) -> str:
        """The name without the seed, if every run has the same one then; a single run keeps its own."""
        stems = {without_seed(record.label, seed) for seed, record in self.by_seed.items()}
        return stems.pop() if self.home is None and len(self.by_seed) > 1 == len(stems) else self.first.label


def seed_groups(records: Sequence[Record]) -> dict[str, SeedGroup]:
    """Return the methods the runs are of, in order of appearance, by what the runs of each have in common.

    Raises
    ------
    ShepherdError
        If two runs are one method with the same seed.
    """
    homes = {record.path.resolve(): _key(record) for record in records}
    groups: dict[str, SeedGroup] = {}
    for record in records:
        folder = record.path.resolve().parent
        home = homes.get(folder.parent) if folder.name == "baselines" else None
        group = groups.setdefault(_key(record, home), SeedGroup(home))
        seed = _seed(record)
        if seed in group.by_seed:
            raise ShepherdError(
                f"{group.by_seed[seed].path} and {record.path} are one method with the same seed {seed}; "
                "give one run for each seed."
            )
        group.by_seed[seed] = record
    return groups


def _key(record: Record, home: str | None = None) -> str:
    """Return what the runs of a method have in common.

    Baselines of two methods may be configured alike, and their epochs are a share of what their run trained
    on, which differs from seed to seed; so a baseline is known by its run and its name, not by its epochs.
    """
    config = {key: value for key, value in record.config.items() if key not in ("seed", "run")}
    if home is not None and isinstance(config.get("training"), dict):
        config["training"] = {key: value for key, value in config["training"].items() if key != "epochs"}
    config["coreset"] = _without_matched_seed(config.get("coreset"), _seed(record))
    name = None if home is None else record.label
    return json.dumps([home, name, config], sort_keys=True, default=str)


def _without_matched_seed(coreset: Any, seed: int) -> Any:
    """Return a coreset's settings with the run it matches named without its seed: every seed matches its own."""
    if not isinstance(coreset, dict):
        return coreset
    named = {key: _without_matched_seed(value, seed) for key, value in coreset.items()}
    matched = named.get("matched")
    return {**named, "matched": without_seed(Path(matched).name, seed)} if isinstance(matched, str) else named


def _seed(record: Record) -> int:
    seed = record.config.get("seed")
    if not isinstance(seed, int):
        raise ShepherdError(f"{record.path / 'config.yaml'} has no seed that is a number; repeat the run.")
    return seed


def group_labels(groups: dict[str, SeedGroup]) -> list[str]:
    """Return a name for each method: as short as tells them apart."""

    def full(group: SeedGroup) -> str:
        """Return a label with the run a baseline belongs to, or the first run's own."""
        home = groups.get(group.home or "")
        return f"{home.label}/{group.label}" if home else group.first.label

    labels = [group.label for group in groups.values()]
    for longer in (full, lambda group: str(group.first.path)):
        labels = [
            label if labels.count(label) == 1 else longer(group)
            for label, group in zip(labels, groups.values(), strict=True)
        ]
    return labels


def without_seed(label: str, seed: int) -> str:
    """Return a run's name without its seed, where it ends in that: `fedhds` of `fedhds-s3`."""
    found = _SEED.fullmatch(label)
    return found["stem"] if found and int(found["seed"]) == seed else label
