"""A sweep's grid: every combination of the values that are tried, each a config and a folder of its own.

What the values do, and how a cell is run, is not known here.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shepherd.config import RunConfig, load_config
from shepherd.errors import ShepherdError
from shepherd.files import named_as_folder
from shepherd.run_files import is_finished
from shepherd.settings import refuse_repeated
from shepherd.sweep.values import Axis, cell_name, in_words, read_axis, read_seeds
from shepherd.units import counted

MOST_CELLS = 1000


@dataclass(frozen=True)
class Cell:
    """One run of the sweep.

    Attributes
    ----------
    values : dict of str to str
        The value of every swept key, as it was written.
    config : RunConfig
        The resolved config, its place in the sweep's folder included.
    """

    values: dict[str, str]
    config: RunConfig

    @property
    def name(self) -> str:
        """The cell's folder in the sweep's."""
        return self.config.run.name

    @property
    def finished(self) -> bool:
        """Whether the run is done."""
        return is_finished(self.config.run.directory)

    @property
    def words(self) -> str:
        """What sets this cell apart, as people read it: rank=8, alpha=0.5, seed=0."""
        return in_words({**self.values, "seed": str(self.config.seed)})

    def number(self, key: str) -> float | None:
        """Return a key's value as the number that the config made of it; None for anything else."""
        value: Any = self.config.resolved()
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


@dataclass(frozen=True)
class Plan:
    """A whole sweep, before anything is run.

    Attributes
    ----------
    source : str
        The preset's name or the YAML file.
    fixed : list of str
        The ``key=value`` that all cells share.
    axes : list of Axis
        The keys with several values; none for a sweep over seeds alone.
    seeds : list of int
        The seeds of every combination.
    folder : Path
        Where the cells' run directories, the manifest and the results are.
    cells : list of Cell
        Every combination with every seed; the last key varies fastest, seeds faster still.
    """

    source: str
    fixed: list[str]
    axes: list[Axis]
    seeds: list[int]
    folder: Path
    cells: list[Cell]


def plan_sweep(
    source: str, assignments: Sequence[str], seeds: Sequence[int] | None = None, name: str | None = None
) -> Plan:
    """Return every run of a sweep, its config read and checked.

    Parameters
    ----------
    source : str
        A preset's name or a YAML file.
    assignments : sequence of str
        ``key=value`` with dotted keys, or ``key=a,b,c`` to try each; ``key+other=a+x,b+y`` for what changes together.
        Commas inside brackets and quotes part nothing.
    seeds : sequence of int, optional
        The seeds to run every combination with; the config's own unless told, here or by ``seed=0,1``.
    name : str, optional
        The sweep's folder in ``run.root``; the config's ``run.name`` with ``-sweep`` unless told.

    Raises
    ------
    ShepherdError
        For a key or value that is wrong in any cell, one that is there twice, what a sweep cannot vary, more than
        1,000 cells, or a folder's name that is none.
    """
    given = [read_axis(assignment) for assignment in assignments]
    refuse_repeated([key for axis in given for key in axis.keys], "is given twice")
    base = load_config(source, [change for axis in given for change in axis.changes(axis.values[0])])
    axes = [axis for axis in given if len(axis.values) > 1 and axis.key != "seed"]
    for axis in axes:
        _check_axis(axis)
    chosen = _seeds(given, seeds, base)
    count = math.prod(len(axis.values) for axis in axes) * len(chosen)
    if count > MOST_CELLS:
        raise ShepherdError(
            f"This sweep has {counted(count, 'cell')}, more than {MOST_CELLS:,}; leave values out, or sweep in several "
            "parts."
        )
    folder = Path(base.run.root) / _folder_name(name or f"{base.run.name}-sweep")
    combined = list(_combinations(source, given, axes))
    _refuse_equal(combined)
    cells = [_cell(values, config, seed, folder) for values, config in combined for seed in chosen]
    single = [axis for axis in given if len(axis.values) == 1 and axis.key != "seed"]
    fixed = [change for axis in single for change in axis.changes(axis.values[0])]
    return Plan(source, fixed, axes, chosen, folder, cells)


def _check_axis(axis: Axis) -> None:
    for key in axis.keys:
        if key == "run" or key.startswith("run."):
            raise ShepherdError(
                f"{key} says where a run is kept, which changes no result; give it one value."
            )
        if key == "seed":
            raise ShepherdError(
                f"The seeds cannot change together with others, as '{axis.key}' asks; use --seeds."
            )


def _seeds(given: Sequence[Axis], seeds: Sequence[int] | None, base: RunConfig) -> list[int]:
    named = next((axis for axis in given if axis.key == "seed"), None)
    if named is not None and seeds is not None:
        raise ShepherdError("The seeds are given twice, by --seeds and by seed=; give them once.")
    if named is not None:
        seeds = read_seeds(",".join(named.values))
    return [base.seed] if seeds is None else list(seeds)


def _folder_name(name: str) -> str:
    try:
        return named_as_folder(name)
    except ValueError as error:
        raise ShepherdError(f"The sweep cannot be called '{name}': {error}.") from None


def _combinations(
    source: str, given: Sequence[Axis], axes: Sequence[Axis]
) -> Iterator[tuple[dict[str, str], RunConfig]]:
    """Yield every combination with its config, the changes made in the order they were given in."""
    for combination in itertools.product(*(axis.values for axis in axes)):
        values = dict(zip((axis.key for axis in axes), combination, strict=True))
        changes = [axis.changes(values.get(axis.key, axis.values[0])) for axis in given]
        yield values, load_config(source, itertools.chain.from_iterable(changes))


def _refuse_equal(combined: Sequence[tuple[dict[str, str], RunConfig]]) -> None:
    """Refuse values that are written differently and mean the same: 1e-3 and 0.001."""
    seen: dict[str, dict[str, str]] = {}
    for values, config in combined:
        meant = json.dumps({k: v for k, v in config.resolved().items() if k != "run"}, sort_keys=True)
        other = seen.setdefault(meant, values)
        if other is not values:
            raise ShepherdError(
                f"{in_words(other)} and {in_words(values)} are the same run; leave one of them out."
            )


def _cell(values: dict[str, str], config: RunConfig, seed: int, folder: Path) -> Cell:
    place = {"root": str(folder), "store": str(config.run.encoded), "name": cell_name(values, seed)}
    run = config.run.model_copy(update=place)
    return Cell(values, config.model_copy(update={"seed": seed, "run": run}))
