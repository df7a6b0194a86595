"""How sure the differences between methods are: paired by seed, with intervals and p-values.

What the tests assume is said under the table, and what so few seeds can show at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.table import Table

from shepherd.report.intervals import NOISE
from shepherd.report.seeds import SeedComparison, Spread
from shepherd.report.tables import Column, line_table
from shepherd.statistics.paired import holm, least_sign_flip, paired_t, sign_flip, t_interval
from shepherd.units import fixed, is_number, signed, whole

#: The figures whose differences are tested, with what they are called and the sign of a better one.
PAIRED_FIGURES = {
    "loss": ("loss", -1),
    "rouge_l": ("ROUGE-L", 1),
    "preference_accuracy": ("pairs right", 1),
}
_USUAL = 0.05


@dataclass(frozen=True)
class PairedLine:
    """One method less the reference, and how sure that is.

    Attributes
    ----------
    label : str
        The method's name.
    difference : Spread
        The differences, seed by seed.
    low, high : float, optional
        The 95 % interval of the mean difference by Student's t; None for fewer than two seeds in common.
    p_t, p_holm, p_flips : float, optional
        Two-sided p-values: the paired t-test, the same corrected for how many methods are compared (Holm), and the
        sign-flip test.
    verdict : str
        ``better`` or ``worse`` where `p_holm` is below 0.05, ``≈`` where it is not, a dash without one, and where the
        figures say nothing of what clients learnt (`Method.keeps_own_parts`).
    """

    label: str
    difference: Spread
    low: float | None
    high: float | None
    p_t: float | None
    p_holm: float | None
    p_flips: float | None
    verdict: str

    @property
    def pairs(self) -> int:
        """How many seeds both methods have."""
        return len(self.difference.by_seed)


def paired_lines(comparison: SeedComparison, figure: str) -> list[PairedLine]:
    """Return every method but the reference with the tests of its difference in one of `PAIRED_FIGURES`."""
    others = comparison.methods[1:]
    spreads: list[Spread] = [getattr(method, f"{figure}_difference") for method in others]
    values = [[spread.by_seed[seed] for seed in sorted(spread.by_seed)] for spread in spreads]
    corrected = holm([paired_t(differences) for differences in values])
    sign = PAIRED_FIGURES[figure][1]
    signs = [
        0 if comparison.reference.keeps_own_parts or method.keeps_own_parts else sign for method in others
    ]
    return [
        _line(method.label, spread, differences, p_holm, sign)
        for method, spread, differences, p_holm, sign in zip(
            others, spreads, values, corrected, signs, strict=True
        )
    ]


def _line(
    label: str, spread: Spread, differences: Sequence[float], p_holm: float | None, sign: int
) -> PairedLine:
    """Return one method's line; `sign` is that of a better difference, 0 where none is."""
    low, high = t_interval(differences) or (None, None)
    return PairedLine(
        label=label,
        difference=spread,
        low=low,
        high=high,
        p_t=paired_t(differences),
        p_holm=p_holm,
        p_flips=sign_flip(differences),
        verdict=_verdict(spread.mean, p_holm, sign),
    )


def _verdict(mean: float | None, p_holm: float | None, sign: int) -> str:
    """Say what a difference tells, looked at together with the table's others."""
    if mean is None or p_holm is None or not sign:
        return "–"
    if p_holm >= _USUAL:
        return NOISE
    return "better" if mean * sign > 0 else "worse"


def paired_tables(comparison: SeedComparison) -> list[Table]:
    """Return a table for each figure in which methods share seeds with the reference; of a single seed nothing."""
    if not comparison.can_be_tested:
        return []
    return [_table(comparison, figure) for figure in PAIRED_FIGURES if comparison.has(f"{figure}_difference")]


def _table(comparison: SeedComparison, figure: str) -> Table:
    lines, name = paired_lines(comparison, figure), PAIRED_FIGURES[figure][0]
    title = f"Difference in {name} to {comparison.reference.label}, paired by seed"
    return line_table(title, " ".join(_caption(lines)), "Method", lines, _COLUMNS)


def _caption(lines: Sequence[PairedLine]) -> Iterator[str]:
    yield "Mean difference ± its standard deviation over the seeds both have."
    tested = sum(line.p_t is not None for line in lines)
    yield f"{NOISE}: inside the noise, as p ({'Holm' if tested > 1 else 't'}) is not below {_USUAL}."
    yield "The 95 % interval and p (t) are Student's, which take the differences for normal;"
    yield "p (flips) takes only their signs for exchangeable."
    if tested > 1:
        yield f"p (Holm) is p (t) corrected for {tested} methods compared; the intervals are each method's own."
    for pairs in sorted({line.pairs for line in lines if line.pairs}):
        yield _what_it_can_show(pairs)


def _what_it_can_show(pairs: int) -> str:
    if pairs == 1:
        return "One seed has no spread: nothing can be tested."
    least = least_sign_flip(pairs)
    said = f"With {pairs} seeds p (flips) cannot go below {least:.2g}"
    if least <= _USUAL:
        return f"{said}."
    enough = next(more for more in range(pairs, 99) if least_sign_flip(more) < _USUAL)
    return f"{said}, however large the difference; below {_USUAL} takes {enough}."


def _difference(line: PairedLine) -> str:
    mean = line.difference.mean
    if mean is None or not is_number(mean):
        return fixed(None)
    return f"{signed(mean)} ± {fixed(line.difference.deviation)}"


def _interval(line: PairedLine) -> str:
    return fixed(None) if line.low is None else f"{signed(line.low)} to {signed(line.high)}"


def p_value(p: float | None) -> str:
    """Return a p-value of three places; one that would read as zero is said to be below 0.001."""
    return "<0.001" if p is not None and p < 0.001 else fixed(p)


_COLUMNS: list[Column[PairedLine]] = [
    Column("Seeds", lambda line: line.pairs, lambda line: whole(line.pairs)),
    Column("Difference", lambda line: line.difference.mean, _difference),
    Column("95 % interval", lambda line: line.low, _interval),
    Column("Verdict", lambda line: None, lambda line: line.verdict),
    Column("p (t)", lambda line: line.p_t, lambda line: p_value(line.p_t)),
    Column("p (Holm)", lambda line: line.p_holm, lambda line: p_value(line.p_holm)),
    Column("p (flips)", lambda line: line.p_flips, lambda line: p_value(line.p_flips)),
]
