"""Running a sweep: every cell a run directory, what is finished left as it is, the results beside them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shepherd.errors import ShepherdError
from shepherd.files import write_atomically, write_json
from shepherd.report.sweep_table import SweepResults, results_csv, sweep_results, sweep_table
from shepherd.report.tables import markdown
from shepherd.run_directory import RunDirectory
from shepherd.sweep.grid import Cell, Plan
from shepherd.torchrun import started_by_torchrun
from shepherd.units import duration

if TYPE_CHECKING:
    from shepherd.observer import Observer

MANIFEST = "sweep.json"
PICTURE = "sweep.png"


def run_sweep(
    plan: Plan, progress: Callable[[str], AbstractContextManager[Observer]], tell: Callable[[str], None]
) -> dict[str, str]:
    """Run every cell that is not finished; one that cannot be run does not keep the others from it.

    Parameters
    ----------
    plan : Plan
        The sweep.
    progress : callable
        Gives, for a cell's name, the observer to show its run with.
    tell : callable
        Given a sentence before and after cells: which is next, how long the rest may take, what went wrong.

    Returns
    -------
    dict of str to str
        For each cell that failed, by its name, why.

    Raises
    ------
    ShepherdError
        Under torchrun, or if the folder or a cell's holds something else, as a run of another config: then nothing is
        run.
    """
    if started_by_torchrun()[1] > 1:
        raise ShepherdError("The cells of a sweep are run one by one; run shepherd sweep without torchrun.")
    _check_folder(plan)
    for cell in plan.cells:
        _check_cell(cell)
    failures: dict[str, str] = {}
    left = _TimeLeft(sum(not cell.finished for cell in plan.cells))
    for number, cell in enumerate(plan.cells, start=1):
        if not cell.finished:
            tell(f"Cell {number} of {len(plan.cells)}: {cell.words}{left.words}")
            start = time.monotonic()
            reason = _failure(cell, progress)
            left.count(time.monotonic() - start, failed=reason is not None)
            if reason is not None:
                failures[cell.name] = reason
                tell(f"This cell failed: {reason}")
        write_json(plan.folder / MANIFEST, manifest(plan, failures))
    return failures


def _check_folder(plan: Plan) -> None:
    """Refuse a folder of something else, whose files the sweep's would replace."""
    ours = (MANIFEST, *(cell.name for cell in plan.cells))
    if (
        plan.folder.is_dir()
        and any(plan.folder.iterdir())
        and not any((plan.folder / name).exists() for name in ours)
    ):
        raise ShepherdError(f"{plan.folder} holds other files than a sweep's; give the sweep another --name.")


def _check_cell(cell: Cell) -> None:
    """Refuse a folder that holds a run of another config."""
    if cell.config.run.directory.is_dir():
        RunDirectory(cell.config.run.directory).open(cell.config, resume=True)


def _failure(cell: Cell, progress: Callable[[str], AbstractContextManager[Observer]]) -> str | None:
    """Run a cell to its end; return why it cannot be."""
    from shepherd.runs import run  # the heavy half of Shepherd: a finished sweep's table needs none of it

    try:
        with progress(cell.name) as observer:
            run(cell.config, resume=True, observers=[observer])
    except ShepherdError as error:
        return str(error)
    return None


@dataclass
class _TimeLeft:
    """What is left to do, and how long it may take, judged by the cells that this process has run."""

    cells: int
    seconds: list[float] = field(default_factory=list)

    @property
    def words(self) -> str:
        """The estimate behind a cell's name; nothing before the first cell is done."""
        if not self.seconds:
            return ""
        return f" (about {duration(self.cells * sum(self.seconds) / len(self.seconds))} left)"

    def count(self, seconds: float, failed: bool) -> None:
        """Count one cell; how soon one failed says nothing about the others."""
        self.cells -= 1
        if not failed:
            self.seconds.append(seconds)


def manifest(plan: Plan, failures: dict[str, str]) -> dict[str, Any]:
    """Return what the sweep is made of, and how far it is: the content of `sweep.json`."""

    def state(cell: Cell) -> dict[str, str]:
        """Return a cell's state, and why it failed if it did."""
        if cell.name in failures:
            return {"state": "failed", "reason": failures[cell.name]}
        return {"state": "finished" if cell.finished else "to do"}

    return {
        "config": plan.source,
        "fixed": plan.fixed,
        "grid": {axis.key: list(axis.values) for axis in plan.axes},
        "seeds": plan.seeds,
        "cells": [
            {"run": cell.name, "values": cell.values, "seed": cell.config.seed, **state(cell)}
            for cell in plan.cells
        ],
    }


def write_results(plan: Plan) -> SweepResults:
    """Write `table.md`, `table.csv` and `sweep.png` of the finished cells into the sweep's folder.

    Raises
    ------
    ShepherdError
        If no cell is finished, or a run directory is damaged.
    """
    from shepherd.report.drawing import write_figure  # brings matplotlib
    from shepherd.report.sweep_figure import sweep_figure

    results = sweep_results(plan)
    write_atomically(plan.folder / "table.md", markdown(sweep_table(results)))
    write_atomically(plan.folder / "table.csv", results_csv(results))
    write_figure(sweep_figure(results), plan.folder / PICTURE)
    return results
