"""Tables of what people said, and of who agrees with whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from rich.table import Table

from shepherd.judge.judgement import Winner
from shepherd.people.comparison import Agreement, Agreements
from shepherd.people.rating import HumanRating
from shepherd.report.tables import Column, line_table
from shepherd.statistics.agreement import Figure
from shepherd.units import fixed, is_number, whole

_SCORES = (
    "Of every answer's scores: Spearman's and Kendall's (tau-b) rank correlations, and the quadratic-weighted kappa. "
    "1 is full agreement, 0 none beyond chance."
)
_PREFERENCES = (
    "Which of two answers is better: Cohen's kappa of win, tie and loss; and accuracy, the share of the decided "
    "preferences that the other shares, where tossing a coin gets 0.50 and a tie counts one half."
)
#: Of fewer ratings in common an agreement is hardly known.
_FEW = 20


@dataclass(frozen=True)
class _Rated:
    """What people said of one model against one reference."""

    label: str
    ratings: list[HumanRating]

    def mean(self, score: Callable[[HumanRating], float | None]) -> float | None:
        """Return the mean of the scores, 1 to 10, that there are; None where there are none."""
        known = [value for value in map(score, self.ratings) if value is not None]
        return fmean(known) if known else None

    def count(self, winner: Winner) -> int | None:
        """How often there was this outcome; None where there was nothing to win against."""
        winners = [rating.winner for rating in self.ratings if rating.winner is not None]
        return winners.count(winner) if winners else None


def ratings_table(ratings: Sequence[HumanRating]) -> Table:
    """Return what people said of each model, against each reference it was rated beside.

    Parameters
    ----------
    ratings : sequence of HumanRating
        What people said.
    """
    lines = [
        _Rated(
            f"{model} / {reference}" if reference else model,
            [r for r in ratings if _of(r) == (model, reference)],
        )
        for model, reference in sorted(set(map(_of, ratings)))
    ]
    columns: list[Column[_Rated]] = [
        _count("People", lambda line: len({rating.rater for rating in line.ratings})),
        _count("Ratings", lambda line: len(line.ratings)),
        _mean("Score", lambda rating: rating.score),
    ]
    if any(rating.reference for rating in ratings):
        columns.append(_mean("Reference's", lambda rating: rating.reference_score))
        columns += [_outcome("Wins", "model"), _outcome("Ties", "tie"), _outcome("Losses", "reference")]
    caption = "Mean scores, 1 to 10. After the stroke: what it was rated beside, not knowing which is which."
    return line_table("What people said", caption, "Model", lines, columns)


def _of(rating: HumanRating) -> tuple[str, str]:
    return rating.model, rating.reference


def _count(heading: str, value: Callable[[_Rated], int | None]) -> Column[_Rated]:
    return Column(heading, value, lambda line: whole(value(line)))


def _mean(heading: str, score: Callable[[HumanRating], float | None]) -> Column[_Rated]:
    return Column(heading, lambda line: line.mean(score), lambda line: fixed(line.mean(score), 2))


def _outcome(heading: str, winner: Winner) -> Column[_Rated]:
    return _count(heading, lambda line: line.count(winner))


def agreement_tables(agreements: Agreements) -> list[Table]:
    """Return what people said, then agreement of judges and people and of people among themselves.

    Of each: scores and preferences, as far as there are any. Figures stand before the ends of their intervals.

    Parameters
    ----------
    agreements : Agreements
        What `people.comparison.agreement` returned.
    """
    tables = [ratings_table(agreements.ratings)]
    for title, lines in (
        ("People and judge", agreements.with_judges),
        ("People and people", agreements.between_people),
    ):
        tables += _scores(title, lines) + _preferences(title, lines)
    return tables


def _scores(title: str, lines: Sequence[Agreement]) -> list[Table]:
    shown = [line for line in lines if line.spearman.count]
    columns = [
        _figures("Scores", lambda line: line.spearman),
        _figure("Spearman", lambda line: line.spearman),
        _figure("Kendall", lambda line: line.kendall),
        _figure("Weighted kappa", lambda line: line.weighted_kappa),
    ]
    few = _few(shown, lambda line: line.spearman, "ratings")
    return _tables(f"{title}: scores", f"{_SCORES} {few}", shown, columns)


def _preferences(title: str, lines: Sequence[Agreement]) -> list[Table]:
    shown = [line for line in lines if line.kappa.count]
    columns = [
        _figures("Preferences", lambda line: line.kappa),
        _figure("Cohen's kappa", lambda line: line.kappa),
        _figures("Decided", lambda line: line.accuracy),
        _figure("Accuracy", lambda line: line.accuracy),
    ]
    few = _few(
        shown, lambda line: line.accuracy, "decided preferences"
    )  # never more than there are preferences
    return _tables(f"{title}: preferences", f"{_PREFERENCES} {few}", shown, columns)


def _few(lines: Sequence[Agreement], figure: Callable[[Agreement], Figure], what: str) -> str:
    """Warn of agreement that rests on few of `what`; nothing where there are enough."""
    few = [f"{line.label} ({figure(line).count})" for line in lines if figure(line).count < _FEW]
    return f"Fewer than {_FEW} {what} in common say little: {', '.join(few)}." if few else ""


def _tables(
    title: str, meaning: str, lines: Sequence[Agreement], columns: Sequence[Column[Agreement]]
) -> list[Table]:
    known = [figure.interval for line in lines for figure in _all(line) if figure.interval]
    level = known[0].level if known else 0.95
    caption = f"{meaning.strip()} In brackets: {level:.0%} intervals over questions."
    return [line_table(title, caption, "Who", lines, columns)] if lines else []


def _all(line: Agreement) -> tuple[Figure, ...]:
    return line.spearman, line.kendall, line.weighted_kappa, line.kappa, line.accuracy


def _figures(heading: str, figure: Callable[[Agreement], Figure]) -> Column[Agreement]:
    return Column(heading, lambda line: figure(line).count, lambda line: whole(figure(line).count))


def _figure(heading: str, figure: Callable[[Agreement], Figure]) -> Column[Agreement]:
    def value(line: Agreement) -> float | None:
        """Return the figure itself, without its interval; None where it is not known."""
        interval = figure(line).interval
        return interval.estimate if interval else None

    return Column(heading, value, lambda line: _written(figure(line)))


def _written(figure: Figure) -> str:
    if figure.interval is None:
        return fixed(None)
    interval = figure.interval
    ends = f" ({fixed(interval.low, 2)} to {fixed(interval.high, 2)})" if is_number(interval.low) else ""
    return fixed(interval.estimate, 2) + ends
