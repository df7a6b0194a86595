"""Which runs a comparison is of: run directories, or folders of them such as a sweep's; and which is the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shepherd.errors import ShepherdError
from shepherd.report.comparison import unique_labels
from shepherd.report.record import NothingEvaluatedError, Record, read_record
from shepherd.report.seed_groups import group_labels, seed_groups
from shepherd.settings import nearest


@dataclass(frozen=True)
class ChosenRuns:
    """The runs that were found.

    Attributes
    ----------
    records : list of Record
        Every run, its baselines behind it.
    left_out : list of Path
        Runs in a folder of runs of which nothing is evaluated yet.
    """

    records: list[Record]
    left_out: list[Path]


def read_runs(places: Sequence[Path]) -> ChosenRuns:
    """Read runs and their baselines.

    Parameters
    ----------
    places : sequence of Path
        Run directories, and folders with run directories in them, which are taken by name.

    Raises
    ------
    ShepherdError
        If a place is neither, a run is damaged, or nothing is evaluated of a run that is named or of all in a folder.
    """
    records, left_out = [], []
    for place in places:
        inside = _runs_in(place)
        missing = []
        for path in inside or [place]:
            try:
                run = read_record(path)
            except NothingEvaluatedError:
                if not inside:
                    raise
                missing.append(path)
                continue
            records += [run, *run.baselines()]
        if inside and len(missing) == len(inside):
            raise NothingEvaluatedError(f"No run in {place} has a committed evaluation yet: let them run.")
        left_out += missing
    return ChosenRuns(records, left_out)


def _runs_in(place: Path) -> list[Path]:
    """Return the run directories in a folder that is none itself."""
    if (place / "config.yaml").exists() or not place.is_dir():
        return []
    return sorted(path.parent for path in place.glob("*/config.yaml"))


def with_reference(records: Sequence[Record], wanted: str, over_seeds: bool = False) -> list[Record]:
    """Return the runs with one of them, and what belongs to it, first.

    Parameters
    ----------
    records : sequence of Record
        Runs and baselines.
    wanted : str
        The path of one, or what the table calls it.
    over_seeds : bool
        Whether the table calls methods over seeds by name, too.

    Raises
    ------
    ShepherdError
        If it is none of them.
    """
    named = dict(zip(unique_labels(records), records, strict=True))
    if over_seeds:
        groups = seed_groups(records)
        methods = zip(group_labels(groups), (group.first for group in groups.values()), strict=True)
        named = {**dict(methods), **named}
    by_path = {record.path.resolve(): record for record in records}
    found = named.get(wanted) or by_path.get(Path(wanted).resolve())
    if found is None:
        known = nearest(wanted, list(named))
        end = "" if known.endswith("?") else "."
        raise ShepherdError(f"--against is '{wanted}', which is none of these runs{known}{end}")
    home = found.path.resolve()
    own = [record for record in records if record is not found and home in record.path.resolve().parents]
    return [found, *own, *(record for record in records if record is not found and record not in own)]
