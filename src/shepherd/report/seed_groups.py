"""Which runs are one method: those that differ in nothing but the seed, and where they are kept.

Clients alone are the exception. Client 4 of one seed and client 4 of another hold different data, so that they are no
method over seeds. Those that were chosen by what they hold (`specialists`) are one method across the seeds; all others
of a run are taken together: the mean over its clients alone in each seed, then over the seeds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shepherd.errors import ShepherdError
from shepherd.report.record import Record
from shepherd.report.specialists import read_specialists

_SEED = re.compile(r"(?P<stem>.+?)(?:[-_]+(?:seed|s)?[-_]*|seed)(?P<seed>\d+)")
_ALONE = "alone"


@dataclass(frozen=True)
class SeedGroup:
    """The runs of one method.

    Attributes
    ----------
    home : str, optional
        The key of the method whose baseline it is.
    alone : str, optional
        Of clients alone: ``alone``, or of specialists ``alone on`` what they hold.
    by_seed : dict of int to list of Record
        The runs of every seed: one, or all clients alone.
    """

    home: str | None
    alone: str | None = None
    by_seed: dict[int, list[Record]] = field(default_factory=dict)

    @property
    def first(self) -> Record:
        """Any one of the runs, where all say the same."""
        return next(iter(self.by_seed.values()))[0]

    @property
    def pools_clients(self) -> bool:
        """Whether a seed's figures are means over clients alone."""
        return self.alone == _ALONE

    @property
    def label(self) -> str:
        """The name without the seed, if every run has the same one then; a single run keeps its own."""
        if self.alone is not None:
            return f"{self.alone} ({_counted(self.by_seed)})" if self.pools_clients else self.alone
        stems = {without_seed(record.label, seed) for seed, (record,) in self.by_seed.items()}
        return stems.pop() if self.home is None and len(self.by_seed) > 1 == len(stems) else self.first.label

    @property
    def full_label(self) -> str:
        """The name that tells it from a method of the same label; of clients alone, with the run they belong to."""
        if self.alone is None:
            return self.first.label
        return f"{self.first.path.resolve().parents[1].name}/{self.label}"

    @property
    def path_label(self) -> str:
        """The path of the run, or of the clients alone."""
        return str(self.first.path) if self.alone is None else f"{self.first.path.parent}: {self.label}"

    def add(self, record: Record) -> None:
        """Add a run to those of its seed.

        Raises
        ------
        ShepherdError
            If it is there already.
        """
        seed = _seed(record)
        members = self.by_seed.setdefault(seed, [])
        same = [one for one in members if not self.pools_clients or one.label == record.label]
        if same:
            raise ShepherdError(
                f"{same[0].path} and {record.path} are one method with the same seed {seed}; "
                "give one run for each seed."
            )
        members.append(record)


def _counted(by_seed: dict[int, list[Record]]) -> str:
    """Say how many clients alone there are in a seed."""
    fewest, most = min(map(len, by_seed.values())), max(map(len, by_seed.values()))
    if most == 1:
        return "one client a seed"
    return f"mean of {most} clients" if fewest == most else f"mean of {fewest} to {most} clients"


def seed_groups(records: Sequence[Record]) -> dict[str, SeedGroup]:
    """Return the methods the runs are of, in order of appearance, by what the runs of each have in common.

    Raises
    ------
    ShepherdError
        If two runs are one method with the same seed, and no two clients alone.
    """
    homes = {record.path.resolve(): _key(record) for record in records}
    groups: dict[str, SeedGroup] = {}
    for record in records:
        folder = record.path.resolve().parent
        home = homes.get(folder.parent) if folder.name == "baselines" else None
        alone = _alone(record)
        groups.setdefault(_key(record, home, alone), SeedGroup(home, alone)).add(record)
    return groups


def _alone(record: Record) -> str | None:
    """Return what a client alone is called across seeds; None of any other run."""
    path = record.path.resolve()
    if path.parent.name != "baselines" or not path.name.startswith("alone-"):
        return None
    kinds = read_specialists(path.parent).get(path.name)
    return _ALONE if kinds is None else f"{_ALONE} on {kinds}"


def _key(record: Record, home: str | None = None, alone: str | None = None) -> str:
    """Return what the runs of a method have in common.

    Baselines of two methods may be configured alike, and their epochs are a share of what their run trained
    on, which differs from seed to seed; so a baseline is known by its run and its name, not by its epochs. Of clients
    alone, which client it is and the epochs that its share of the data makes are not in common.
    """
    apart = ("seed", "run") if alone is None else ("seed", "run", "participation")
    config = {key: value for key, value in record.config.items() if key not in apart}
    if (home or alone) is not None and isinstance(config.get("training"), dict):
        config["training"] = {key: value for key, value in config["training"].items() if key != "epochs"}
    config["coreset"] = _without_matched_seed(config.get("coreset"), _seed(record))
    name = alone or (None if home is None else record.label)
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
        return f"{home.label}/{group.label}" if home else group.full_label

    # Clients alone are told apart by whose they are, not by how many.
    names = [group.alone or group.label for group in groups.values()]
    labels = [
        group.label if names.count(name) == 1 else full(group)
        for name, group in zip(names, groups.values(), strict=True)
    ]
    return [
        label if labels.count(label) == 1 else group.path_label
        for label, group in zip(labels, groups.values(), strict=True)
    ]


def without_seed(label: str, seed: int) -> str:
    """Return a run's name without its seed, where it ends in that: `fedhds` of `fedhds-s3`."""
    found = _SEED.fullmatch(label)
    return found["stem"] if found and int(found["seed"]) == seed else label
