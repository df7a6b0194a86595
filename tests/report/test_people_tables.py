"""What is said below the tables of agreement."""

from __future__ import annotations

from shepherd.people.comparison import Agreement, Agreements
from shepherd.report.people_tables import agreement_tables
from shepherd.report.tables import markdown
from shepherd.statistics.agreement import Figure
from shepherd.statistics.bootstrap import Interval


def _line(who: str, ratings: int, decided: int, estimate: float) -> Agreement:
    span = Interval(estimate, -0.004, 0.4)
    scores, preferences = Figure(ratings, span), Figure(ratings, span)
    return Agreement(who, "judge", scores, scores, scores, preferences, Figure(decided, span))


def test_few_ratings_in_common_are_warned_of_and_no_zero_is_negative() -> None:
    lines = [_line("anna", 19, 12, -0.001), _line("ben", 25, 19, 0.2), _line("mean", 44, 31, 0.1)]
    _, scores, preferences = map(markdown, agreement_tables(Agreements([], lines, [])))
    assert "Fewer than 20 ratings in common say little: anna – judge (19)." in scores
    assert "Fewer than 20 decided preferences in common say little: anna – judge (12), ben – judge (19)." in (
        preferences
    )
    assert "0.00 (0.00 to 0.40)" in scores
    assert "-0.00" not in scores + preferences
    _, enough, _ = map(markdown, agreement_tables(Agreements([], lines[2:], [])))
    assert "Fewer" not in enough
