"""A sweep's finished cells, read back: a line for each combination, with means and spreads over its seeds."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from shepherd.errors import ShepherdError
from shepherd.report.comparison import compare
from shepherd.report.record import Record, read_record
from shepherd.report.seeds import Method, method_over_seeds
from shepherd.report.seeds_table import cost_caption, cost_columns, score_columns, score_notes
from shepherd.report.tables import Column, csv_text, line_table
from shepherd.sweep.values import short_keys
from shepherd.units import whole

if TYPE_CHECKING:
    from shepherd.sweep.grid import Cell, Plan

_FIGURES = (
    *("loss", "rouge_l", "examples", "round_seconds", "selection_seconds", "bytes_up", "bytes_down"),
    *("simulated_hours", "preference_accuracy", "preference_margin"),
)


@dataclass(frozen=True)
class SweepLine:
    """One combination of values.

    Attributes
    ----------
    values : tuple of str
        The value of every swept key, as it was written.
    numbers : tuple of float or None
        The same as numbers, where they are.
    method : Method
        Its figures over the finished seeds.
    """

    values: tuple[str, ...]
    numbers: tuple[float | None, ...]
    method: Method

    @property
    def label(self) -> str:
        """The value of the first key; the config's name where nothing but seeds was swept."""
        return self.values[0] if self.values else self.method.label


@dataclass(frozen=True)
class SweepResults:
    """The finished cells of a sweep.

    Attributes
    ----------
    keys : list of str
        The swept keys, as short as tells them apart.
    lines : list of SweepLine
        Every combination with a finished run.
    unfinished : list of str
        The cells that have none, in words.
    comparable : bool
        Whether all runs of one seed were evaluated on the same hold-out.
    several_bases : bool
        Whether they are tuned from different base models, whose tokens may differ.
    folder : Path
        Where the runs are.
    reference : str
        The folder in it of the first combination's first run.
    with_own : str
        The folder in it of the first run whose clients have adapters of their own; empty where there is none.
    """

    keys: list[str]
    lines: list[SweepLine]
    unfinished: list[str]
    comparable: bool = True
    several_bases: bool = False
    folder: Path = Path()
    reference: str = ""
    with_own: str = ""

    @property
    def has_rouge(self) -> bool:
        """Whether any run's answers were scored."""
        return any(line.method.rouge_l.by_seed for line in self.lines)

    @property
    def can_be_paired(self) -> bool:
        """Whether two combinations or more have several seeds in common."""
        seeds = [set(line.method.seeds) for line in self.lines]
        return self.comparable and any(len(seeds[0] & other) > 1 for other in seeds[1:])

    @property
    def pairing_command(self) -> str:
        """The command that compares the combinations seed by seed, with the first for the reference."""
        command = ["shepherd", "compare", str(self.folder), "--seeds", "--against", self.reference]
        return shlex.join(command)

    @property
    def personalising_command(self) -> str:
        """The command that makes and tests the clients' own adapters, of the first run that gives them some."""
        return shlex.join(["shepherd", "personalise", str(self.folder / self.with_own)])


def sweep_results(plan: Plan) -> SweepResults:
    """Read the finished cells of a sweep back.

    Raises
    ------
    ShepherdError
        If no cell is finished, or a run directory is damaged.
    """
    done = [(cell, read_record(cell.config.run.directory)) for cell in plan.cells if cell.finished]
    if not done:
        raise ShepherdError(f"No cell of the sweep in {plan.folder} is finished, so there is no table.")
    comparable, several_bases = _common([record for _, record in done])
    return SweepResults(
        keys=short_keys([axis.key for axis in plan.axes]),
        lines=list(_lines(plan, done)),
        unfinished=[cell.words for cell in plan.cells if not cell.finished],
        comparable=comparable,
        several_bases=several_bases,
        folder=plan.folder,
        reference=done[0][0].name,
        with_own=next((cell.name for cell, _ in done if cell.config.gives_own), ""),
    )


def _lines(plan: Plan, done: Sequence[tuple[Cell, Record]]) -> Iterator[SweepLine]:
    keys = [axis.key for axis in plan.axes]
    combinations: dict[tuple[str, ...], list[tuple[Cell, Record]]] = {}
    for cell, record in done:
        combinations.setdefault(tuple(cell.values.values()), []).append((cell, record))
    for values, members in combinations.items():
        numbers = tuple(members[0][0].number(key) for key in keys)
        runs = {cell.config.seed: [record] for cell, record in members}
        yield SweepLine(values, numbers, method_over_seeds(plan.source, runs))


def _common(records: Sequence[Record]) -> tuple[bool, bool]:
    """Say whether the runs of each seed have one hold-out, and whether there are several bases."""
    seeds = {record.config.get("seed") for record in records}
    try:
        found = [compare([record for record in records if record.config.get("seed") == s]) for s in seeds]
    except ShepherdError:  # a sweep over the data: each run has a table of its own right, but no common best
        return False, False
    return True, any(comparison.several_bases for comparison in found)


def sweep_table(results: SweepResults) -> Table:
    """Return a line for each combination: its values, loss, ROUGE-L, examples, time and bytes; the best is bold."""
    first, *others = results.keys or ["Config"]
    columns = [_key_column(key, place) for place, key in enumerate(others, start=1)]
    columns.append(
        Column("Seeds", lambda line: len(line.method.seeds), lambda line: whole(len(line.method.seeds)))
    )
    methods = [line.method for line in results.lines]
    scores = [_of_method(column) for column in score_columns(methods)]
    if not results.comparable:
        scores = [dataclasses.replace(column, best=None) for column in scores]
    columns += [*scores, *map(_of_method, cost_columns(methods))]
    caption = " ".join(_caption(results, {column.heading for column in columns}))
    return line_table("The sweep", caption, first, results.lines, columns)


def _key_column(key: str, place: int) -> Column[SweepLine]:
    return Column(key, lambda line: line.numbers[place], lambda line: line.values[place])


def _of_method(column: Column[Method]) -> Column[SweepLine]:
    return Column(
        column.heading,
        lambda line: column.value(line.method),
        lambda line: column.write(line.method),
        column.best,
    )


def _caption(results: SweepResults, headings: Collection[str]) -> Iterator[str]:
    yield "Mean ± sample standard deviation over the seeds; loss in nats per response token."
    if results.can_be_paired:
        yield "The spread holds what the seeds' hold-outs differ in, too; `shepherd compare --seeds` pairs the seeds."
    yield from score_notes({_words(results.keys, line): line.method for line in results.lines})
    yield from cost_caption(headings)
    if not results.comparable:
        yield "The runs were evaluated on different hold-outs: their figures do not compare."
    if results.several_bases:
        yield "The base models differ: their losses compare only if their tokenizers are the same."
    if results.unfinished:
        yield f"Not finished: {'; '.join(results.unfinished)}."


def _words(keys: Sequence[str], line: SweepLine) -> str:
    """Return what tells a line from the others; the config's name where nothing but seeds was swept."""
    return " ".join(f"{key}={value}" for key, value in zip(keys, line.values, strict=True)) or line.label


def results_csv(results: SweepResults) -> str:
    """Return every combination with its means and standard deviations, unrounded."""
    headings = [f"{figure}_{end}" for figure in _FIGURES for end in ("mean", "sd")]
    return csv_text([*results.keys, "seeds", *headings], map(_csv_line, results.lines))


def _csv_line(line: SweepLine) -> list[object]:
    spreads = [getattr(line.method, figure) for figure in _FIGURES]
    figures = [value for spread in spreads for value in (spread.mean, spread.deviation)]
    return [*line.values, len(line.method.seeds), *figures]
