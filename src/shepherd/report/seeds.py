"""Methods beside each other over seeds: means, spreads, and differences paired seed by seed, as data.

Runs that differ in nothing but the seed (and where they are kept) are one method; which those are, and what becomes of
clients alone, seed_groups.py knows. What a method is good for is not known here, nor whether a difference is more than
chance (paired_table.py).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from shepherd.errors import ShepherdError
from shepherd.report.comparison import compare
from shepherd.report.fairness import Fairness
from shepherd.report.record import Record
from shepherd.report.seed_groups import group_labels, seed_groups
from shepherd.report.simulated_time import simulated_hours


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
    worst_loss, loss_spread : Spread
        The loss of the category it does worst in, and the standard deviation of the loss over the categories.
    examples : Spread
        Examples trained on with repeats counted.
    round_seconds, selection_seconds : Spread
        Seconds spent in rounds, and those of them spent choosing clients and examples where that was measured.
    bytes_up, bytes_down : Spread
        What the clients sent, and what they were sent; nothing of a baseline.
    selected_share : Spread
        Of the examples that the clients of the rounds held, the share that the coreset let through, where it was
        counted; with ``training.steps`` clients may have trained on fewer.
    loss_difference, rouge_l_difference, preference_accuracy_difference : Spread
        This method less the reference, seed by seed; empty for the reference.
    preference_accuracy, preference_margin : Spread
        Of the last evaluation, where pairs of answers are held out: the share whose chosen answer is preferred, and by
        how many nats.
    simulated_hours : Spread
        All of the run on the clock of simulated devices.
    keeps_own_parts : bool
        Whether parts of the adapter are each client's own, so that the figures say nothing of what clients learnt.
    """

    label: str
    seeds: list[int]
    loss: Spread
    rouge_l: Spread
    worst_loss: Spread
    loss_spread: Spread
    examples: Spread
    round_seconds: Spread
    selection_seconds: Spread
    bytes_up: Spread
    bytes_down: Spread
    selected_share: Spread
    loss_difference: Spread = Spread()
    rouge_l_difference: Spread = Spread()
    preference_accuracy_difference: Spread = Spread()
    preference_accuracy: Spread = Spread()
    preference_margin: Spread = Spread()
    simulated_hours: Spread = Spread()
    keeps_own_parts: bool = False


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
    pools_clients : bool
        Whether one of the methods is the mean over clients alone, others in every seed.
    """

    methods: list[Method]
    unfinished: list[str] = field(default_factory=list)
    several_bases: bool = False
    pools_clients: bool = False

    @property
    def reference(self) -> Method:
        """The method every difference is to."""
        return self.methods[0]

    @property
    def can_be_tested(self) -> bool:
        """Whether any method has two seeds or more in common with the reference."""
        return any(len(method.loss_difference.by_seed) > 1 for method in self.methods)

    def has(self, figure: str) -> bool:
        """Say whether any method has a figure, such as ``rouge_l``."""
        return any(getattr(method, figure).by_seed for method in self.methods)


def compare_over_seeds(records: Sequence[Record]) -> SeedComparison:
    """Set methods beside each other, each with the mean and the spread over its seeds.

    Parameters
    ----------
    records : sequence of Record
        Runs; the method of the first is the reference. A baseline belongs to its run where that is given, too. The
        clients alone of a run are one method, in every seed the mean over them: they are other clients, with other
        data, in each. Only those chosen by what they hold (``--alone-on``) are methods of their own.

    Raises
    ------
    ShepherdError
        If there is no run, a method has two of one seed, or runs of one seed have different hold-outs.
    """
    if not records:
        raise ShepherdError("There is no run to compare over seeds: give at least one run directory.")
    groups = seed_groups(records)
    seeds = sorted({seed for group in groups.values() for seed in group.by_seed})
    # Of one seed all must have the same hold-out, which compare() sees to; those of other seeds are others.
    same_seed = [
        compare([record for group in groups.values() for record in group.by_seed.get(seed, [])])
        for seed in seeds
    ]
    methods: list[Method] = []
    for label, group in zip(group_labels(groups), groups.values(), strict=True):
        methods.append(method_over_seeds(label, group.by_seed, methods[0] if methods else None))
    unfinished = [str(record.path) for record in records if not record.has_all_rounds]
    several_bases = any(members.several_bases for members in same_seed)
    pools_clients = any(group.pools_clients for group in groups.values())
    return SeedComparison(methods, unfinished, several_bases, pools_clients)


def method_over_seeds(
    label: str, runs: Mapping[int, Sequence[Record]], reference: Method | None = None
) -> Method:
    """Return a method from its runs by seed.

    Parameters
    ----------
    label : str
        What it is called.
    runs : mapping of int to sequence of Record
        The runs of every seed; of several the mean counts.
    reference : Method, optional
        What its differences are to.
    """

    def spread(figure: Callable[[Record], float | None]) -> Spread:
        """Return a figure seed by seed, each the mean over the seed's runs that have it."""
        found = {seed: [v for v in map(figure, members) if v is not None] for seed, members in runs.items()}
        return Spread({seed: statistics.fmean(values) for seed, values in found.items() if values})

    loss = spread(lambda record: record.final["loss"])
    rouge_l = spread(lambda record: record.final.get("rouge_l"))
    pairs_right = spread(lambda record: record.final.get("preference_accuracy"))
    return Method(
        label=label,
        seeds=sorted(runs),
        loss=loss,
        rouge_l=rouge_l,
        worst_loss=spread(_fairness("worst")),
        loss_spread=spread(_fairness("spread")),
        examples=spread(lambda record: record.examples),
        round_seconds=spread(lambda record: record.round_seconds),
        selection_seconds=spread(lambda record: record.selection_seconds),
        bytes_up=spread(lambda record: record.bytes_up if record.sends else None),
        bytes_down=spread(lambda record: record.bytes_down if record.sends else None),
        selected_share=spread(_selected_share),
        loss_difference=loss.minus(reference.loss) if reference else Spread(),
        rouge_l_difference=rouge_l.minus(reference.rouge_l) if reference else Spread(),
        preference_accuracy_difference=pairs_right.minus(reference.preference_accuracy)
        if reference
        else Spread(),
        preference_accuracy=pairs_right,
        preference_margin=spread(lambda record: record.final.get("preference_margin")),
        simulated_hours=spread(simulated_hours),
        keeps_own_parts=any(record.keeps_own_parts for members in runs.values() for record in members),
    )


def _fairness(figure: str) -> Callable[[Record], float | None]:
    def of(record: Record) -> float | None:
        """Return a figure of how evenly the last evaluation's categories are served, where there are several."""
        return getattr(Fairness.of(record.final.get("loss_by_category") or {}), figure, None)

    return of


def _selected_share(record: Record) -> float | None:
    # Rounds of an older Shepherd do not count what is held; they are left out on both sides.
    lines = [line for line in record.scope("round") if line.get("examples_held")]
    used = sum(line.get("selected", line.get("examples")) or 0 for line in lines)
    return used / sum(line["examples_held"] for line in lines) if lines else None
