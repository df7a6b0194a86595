"""Methods beside each other over seeds: means, spreads, and differences paired seed by seed.

Runs that differ in nothing but the seed (and where they are kept) are one method. What a method is good for is
not known here, nor whether a difference is significant: with the few seeds one can afford, the reader judges.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from shepherd.errors import ShepherdError
from shepherd.report.comparison import compare
from shepherd.report.comparison_table import Column, csv_text, line_table, markdown
from shepherd.report.record import Record, is_finished
from shepherd.report.units import duration, fixed, is_number, percent, whole

_SEED = re.compile(r"(?P<stem>.+?)(?:[-_]+(?:seed|s)?|seed)[-_]*(?P<seed>\d+)")
_EVALUATED = ("loss", "loss_difference", "rouge_l", "rouge_l_difference")
_FIGURES = (*_EVALUATED, "examples", "share_of_data", "training_seconds", "selection_seconds")


@dataclass(frozen=True)
class Spread:
    """One figure of a method, seed by seed.

    Attributes
    ----------
    by_seed : dict of int to float
        The figure of every seed for which it was measured.
    """

    by_seed: dict[int, float] = field(default_factory=dict)

    @property
    def mean(self) -> float | None:
        """The mean: None where nothing was measured, NaN where a value is not finite."""
        if not self.by_seed:
            return None
        return statistics.fmean(self.by_seed.values()) if self._finite else math.nan

    @property
    def deviation(self) -> float | None:
        """The sample standard deviation; None for a single seed, which has none."""
        return statistics.stdev(self.by_seed.values()) if self._finite and len(self.by_seed) > 1 else None

    @property
    def _finite(self) -> bool:
        return all(map(math.isfinite, self.by_seed.values()))

    def minus(self, other: Spread) -> Spread:
        """Return the differences to another method's figure over the seeds both have."""
        return Spread({s: v - other.by_seed[s] for s, v in self.by_seed.items() if s in other.by_seed})


@dataclass(frozen=True)
class Method:
    """One method over its seeds.

    Attributes
    ----------
    label : str
        The method's name.
    seeds : list of int
        The seeds it was run with.
    loss, rouge_l : Spread
        The last evaluation: nats per response token, and ROUGE-L from 0 to 1 where it was measured.
    examples : Spread
        Examples trained on with repeats counted.
    training_seconds, selection_seconds : Spread
        Seconds spent in rounds, and those of them spent choosing the examples where that was measured.
    share_of_data : Spread
        Of the examples that the clients of the rounds held, the share they trained on, where it was counted.
    loss_difference, rouge_l_difference : Spread
        This method less the reference, seed by seed; empty for the reference.
    """

    label: str
    seeds: list[int]
    loss: Spread
    rouge_l: Spread
    examples: Spread
    training_seconds: Spread
    selection_seconds: Spread
    share_of_data: Spread
    loss_difference: Spread = Spread()
    rouge_l_difference: Spread = Spread()


@dataclass(frozen=True)
class SeedComparison:
    """Methods beside each other; the first is the reference of the differences.

    Attributes
    ----------
    methods : list of Method
        The methods.
    unfinished : list of str
        Runs that have rounds left to train.
    several_bases : bool
        Whether the methods are tuned from different base models, whose tokens may differ.
    """

    methods: list[Method]
    unfinished: list[str] = field(default_factory=list)
    several_bases: bool = False

    @property
    def reference(self) -> Method:
        """The method every difference is to."""
        return self.methods[0]

    def has(self, figure: str) -> bool:
        """Say whether any method has a figure, such as ``rouge_l``."""
        return any(getattr(method, figure).by_seed for method in self.methods)


@dataclass(frozen=True)
class _Group:
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
        stems = {_without_seed(record.label, seed) for seed, record in self.by_seed.items()}
        return stems.pop() if self.home is None and len(self.by_seed) > 1 == len(stems) else self.first.label


def compare_over_seeds(records: Sequence[Record]) -> SeedComparison:
    """Set methods beside each other, each with the mean and the spread over its seeds.

    Parameters
    ----------
    records : sequence of Record
        Runs; the method of the first is the reference. A baseline belongs to its run where that is given, too.

    Raises
    ------
    ShepherdError
        If there is no run, a method has two of one seed, or runs of one seed have different hold-outs.
    """
    if not records:
        raise ShepherdError("There is no run to compare over seeds: give at least one run directory.")
    groups = _groups(records)
    seeds = sorted({seed for group in groups.values() for seed in group.by_seed})
    # Of one seed all must have the same hold-out, which compare() sees to; those of other seeds are others.
    same_seed = [
        compare([group.by_seed[seed] for group in groups.values() if seed in group.by_seed]) for seed in seeds
    ]
    methods: list[Method] = []
    for label, group in zip(_labels(groups), groups.values(), strict=True):
        methods.append(_method(label, group.by_seed, methods[0] if methods else None))
    unfinished = [str(record.path) for record in records if not is_finished(record)]
    return SeedComparison(methods, unfinished, any(members.several_bases for members in same_seed))


def _groups(records: Sequence[Record]) -> dict[str, _Group]:
    homes = {record.path.resolve(): _key(record) for record in records}
    groups: dict[str, _Group] = {}
    for record in records:
        folder = record.path.resolve().parent
        home = homes.get(folder.parent) if folder.name == "baselines" else None
        group = groups.setdefault(_key(record, home), _Group(home))
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
    return (
        {**named, "matched": _without_seed(Path(matched).name, seed)} if isinstance(matched, str) else named
    )


def _seed(record: Record) -> int:
    seed = record.config.get("seed")
    if not isinstance(seed, int):
        raise ShepherdError(f"{record.path / 'config.yaml'} has no seed that is a number; repeat the run.")
    return seed


def _labels(groups: dict[str, _Group]) -> list[str]:
    def full(group: _Group) -> str:
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


def _without_seed(label: str, seed: int) -> str:
    found = _SEED.fullmatch(label)
    return found["stem"] if found and int(found["seed"]) == seed else label


def _method(label: str, runs: dict[int, Record], reference: Method | None) -> Method:
    def spread(figure: Callable[[Record], float | None]) -> Spread:
        values = {seed: figure(record) for seed, record in runs.items()}
        return Spread({seed: float(value) for seed, value in values.items() if value is not None})

    loss = spread(lambda record: record.final["loss"])
    rouge_l = spread(lambda record: record.final.get("rouge_l"))
    return Method(
        label=label,
        seeds=sorted(runs),
        loss=loss,
        rouge_l=rouge_l,
        examples=spread(lambda record: record.examples),
        training_seconds=spread(lambda record: record.training_seconds),
        selection_seconds=spread(lambda record: record.selection_seconds),
        share_of_data=spread(_share_of_data),
        loss_difference=loss.minus(reference.loss) if reference else Spread(),
        rouge_l_difference=rouge_l.minus(reference.rouge_l) if reference else Spread(),
    )


def _share_of_data(record: Record) -> float | None:
    # Rounds of an older Shepherd do not count what is held; they are left out on both sides.
    lines = [line for line in record.scope("round") if line.get("examples_held")]
    used = sum(line.get("selected", line.get("examples")) or 0 for line in lines)
    return used / sum(line["examples_held"] for line in lines) if lines else None


def seeds_table(comparison: SeedComparison) -> Table:
    """Return the methods, one a line, with all that is said of them; the best mean of a column is bold."""
    return _table(comparison, "The methods over seeds", [*_scores(comparison), *_costs(comparison)])


def terminal_tables(comparison: SeedComparison) -> list[Table]:
    """Return the same in two tables, how good and at what price, which fit a terminal of 100 columns."""
    scores = _table(comparison, "The methods over seeds", list(_scores(comparison)))
    costs = _table(comparison, "What they cost, on average", list(_costs(comparison)))
    costs.caption = None
    return [scores, costs]


def _table(comparison: SeedComparison, title: str, columns: list[Column[Method]]) -> Table:
    return line_table(title, " ".join(_caption(comparison)), "Method", comparison.methods, columns)


def _caption(comparison: SeedComparison) -> Iterator[str]:
    yield "Mean ± sample standard deviation over the seeds; loss in nats per response token."
    if comparison.has("loss_difference"):
        yield f"Difference: the method less {comparison.reference.label}, seed by seed."
    elif len(comparison.methods) > 1:
        yield f"No method shares a seed with {comparison.reference.label}, so there are no differences."
    if any(_is_partial(m, getattr(m, figure)) for m in comparison.methods for figure in _EVALUATED):
        yield "In brackets: the number of seeds, where it is not all."
    if comparison.several_bases:
        yield "The base models differ: their losses compare only if their tokenizers are the same."
    if comparison.unfinished:
        yield f"Not finished yet: {', '.join(comparison.unfinished)}."


def _scores(comparison: SeedComparison) -> Iterator[Column[Method]]:
    yield Column("Seeds", lambda method: len(method.seeds), lambda method: whole(len(method.seeds)))
    for heading, figure, best in (("Loss", "loss", min), ("ROUGE-L", "rouge_l", max)):
        if comparison.has(figure):
            yield _column(heading, figure, _spread, best)
        if comparison.has(f"{figure}_difference"):
            yield _column("Difference", f"{figure}_difference", _signed)


def _costs(comparison: SeedComparison) -> Iterator[Column[Method]]:
    yield _column("Examples", "examples", lambda _, spread: whole(spread.mean))
    if comparison.has("share_of_data"):
        yield _column("Share of data", "share_of_data", lambda _, spread: percent(spread.mean))
    yield _column("Rounds", "training_seconds", lambda _, spread: duration(spread.mean))
    if comparison.has("selection_seconds"):
        yield _column("Selection", "selection_seconds", lambda _, spread: duration(spread.mean))


def _column(
    heading: str, figure: str, write: Callable[[Method, Spread], str], best: Any = None
) -> Column[Method]:
    def spread(method: Method) -> Spread:
        return getattr(method, figure)

    return Column(heading, lambda m: spread(m).mean, lambda m: write(m, spread(m)), best)


def _spread(method: Method, spread: Spread) -> str:
    if spread.mean is None or not is_number(spread.mean):
        return fixed(None)
    seeds = f" ({len(spread.by_seed)})" if _is_partial(method, spread) else ""
    return f"{fixed(spread.mean)} ± {fixed(spread.deviation)}{seeds}"


def _signed(method: Method, spread: Spread) -> str:
    return ("+" if (spread.mean or 0) > 0 else "") + _spread(method, spread)


def _is_partial(method: Method, spread: Spread) -> bool:
    return 0 < len(spread.by_seed) < len(method.seeds)


def to_markdown(comparison: SeedComparison) -> str:
    """Return the table as Markdown."""
    return markdown(seeds_table(comparison))


def to_csv(comparison: SeedComparison) -> str:
    """Return every mean and standard deviation, one line per method, unrounded; empty where there is none."""
    headings = [f"{figure}_{end}" for figure in _FIGURES for end in ("mean", "sd")]
    return csv_text(["method", "seeds", "paired_seeds", *headings], map(_csv_line, comparison.methods))


def _csv_line(method: Method) -> list[object]:
    spreads = [getattr(method, figure) for figure in _FIGURES]
    values = [value for spread in spreads for value in (spread.mean, spread.deviation)]
    return [method.label, len(method.seeds), len(method.loss_difference.by_seed), *values]
