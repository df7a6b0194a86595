"""What a run's algorithms say of its rounds, beside what every round's line has: the rank that was kept, clusters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.table import Table

from shepherd.report.record import Record
from shepherd.report.tables import Column, line_table
from shepherd.units import fixed, whole

#: What every round's line has, and what the section on simulated devices tells.
_ELSEWHERE = frozenset(
    {
        *("round", "clients", "examples_held", "selected", "examples", "tokens", "response_tokens", "steps"),
        *("bytes_up", "bytes_down", "train_loss", "update_norm"),
        *(
            "clients_too_small",
            "clients_away",
            "clients_late",
            "clients_dropped",
            "clients_at_work",
            "bytes_down_at_work",
            "staleness",
        ),
        *("simulated_seconds", "simulated_clock_hours", "wasted_bytes", "wasted_tokens", "idle_share"),
    }
)
#: Ours, in words; anybody else's have the names that they were given.
_WORDS = {
    "product_error": "Missed by averaging A and B apart, share of the average product",
    "kept_rank": "Rank kept, mean of the modules",
    "kept_energy": "Share of the squares of the average product kept",
    "merged_norm": "Norm of what was merged into the base",
    "highest_share": "What a client counts in the mixture, at most",
    "lowest_share": "What a client counts in the mixture, at least",
    "clusters": "Clusters of clients",
    "preference_accuracy": "Pairs in which the trained adapter prefers the chosen answer, share",
    "preference_margin": "Margin of that preference, nats",
}


@dataclass(frozen=True)
class _Figure:
    """One figure, over the rounds that have it."""

    label: str
    values: list[float]


def round_figures(record: Record) -> Table | None:
    """Return a line for each figure that the run's algorithms put into its rounds' lines; None where none did."""
    names = dict.fromkeys(name for line in record.scope("round") for name in line if name not in _ELSEWHERE)
    found = [_Figure(_WORDS.get(name, name), record.train_curve(name)[1]) for name in names]
    lines = [figure for figure in found if figure.values]
    if not lines:
        return None
    columns = [
        _column("First round", lambda figure: figure.values[0]),
        _column("Last round", lambda figure: figure.values[-1]),
        _column("Lowest", lambda figure: min(figure.values)),
        _column("Highest", lambda figure: max(figure.values)),
    ]
    caption = "Every round's are in metrics.jsonl."
    return line_table("What the algorithms say of the rounds", caption, "Figure", lines, columns)


def _column(heading: str, of: Callable[[_Figure], float]) -> Column[_Figure]:
    def write(figure: _Figure) -> str:
        """Write counts as counts."""
        return whole(of(figure)) if all(value.is_integer() for value in figure.values) else fixed(of(figure))

    return Column(heading, of, write)
