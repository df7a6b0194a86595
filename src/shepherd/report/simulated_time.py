"""A run on the clock of its simulated devices: hours of every round, and how long a loss took."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from shepherd.report.record import Record
from shepherd.units import duration, fixed, is_number, percent, size

#: Shares of the way from the first loss to the lowest, whose times a report tells.
_SHARES = (0.25, 0.5, 0.75, 0.9, 1.0)


def clock(record: Record) -> dict[int, float]:
    """Return the hours on the simulated clock after each round, from 0; nothing of a run without a system."""
    lines = [line for line in record.scope("round") if is_number(line.get("simulated_clock_hours"))]
    return (
        {0: 0.0, **{line["round"]: float(line["simulated_clock_hours"]) for line in lines}} if lines else {}
    )


def simulated_hours(record: Record) -> float | None:
    """Return how long all of a run took on the simulated clock, in hours; None without one."""
    return max(clock(record).values(), default=None)


def simulated_duration(hours: float | None) -> str:
    """Return hours on the simulated clock as people read them; a dash for nothing."""
    return duration(None if hours is None else 3600 * hours)


def loss_over_hours(record: Record) -> tuple[list[float], list[float]]:
    """Return (hours, losses) of the evaluations of a run with a simulated system."""
    hours = clock(record)
    rounds, losses = record.curve("loss")
    known = [(hours[round], loss) for round, loss in zip(rounds, losses, strict=True) if round in hours]
    return [when for when, _ in known], [loss for _, loss in known]


def hours_to(record: Record, target: float) -> float | None:
    """Return the simulated hours until an evaluation had a loss of `target` or less; None if none had."""
    hours, losses = loss_over_hours(record)
    return next((when for when, loss in zip(hours, losses, strict=True) if loss <= target), None)


def common_target(records: Sequence[Record]) -> float | None:
    """Return the lowest loss that all runs with a simulated system have reached; None where there is none.

    Runs that never got below where they began are left out: everybody was there before any training.
    """
    reached = [min(loss_over_hours(record)[1]) for record in records if improves(record)]
    return max(reached, default=None)


def improves(record: Record) -> bool | None:
    """Say whether a run ever got below the loss it began with; None of a run without a simulated system."""
    losses = loss_over_hours(record)[1]
    return min(losses) < losses[0] if losses else None


def time_to_loss(record: Record) -> Table:
    """Return how long it took, on the simulated clock, to go so much of the way from the first loss to the lowest."""
    hours, losses = loss_over_hours(record)
    caption = (
        "When an evaluation first had the loss or a lower one. Between two evaluations nothing is known."
    )
    table = Table(title="Time to a loss", caption=caption)
    for heading in ("of the way", "loss", "simulated time", "traffic"):
        table.add_column(heading, justify="right")
    first, lowest = losses[0], min(losses)
    for share in _SHARES if lowest < first else ():
        target = first - share * (first - lowest)
        # The last target is the lowest loss itself, whatever rounding does to it.
        place = next(at for at, loss in enumerate(losses) if loss <= max(target, lowest))
        traffic = _traffic(record, hours[place])
        table.add_row(percent(share), fixed(target), simulated_duration(hours[place]), size(traffic))
    return table


def _traffic(record: Record, until: float) -> int:
    lines = [line for line in record.scope("round") if line.get("simulated_clock_hours", 0.0) <= until]
    return int(sum(line["bytes_up"] + line["bytes_down"] for line in lines))


def mean_staleness(record: Record) -> float | None:
    """Return how many rounds old the updates that were aggregated were, on average; None where none can be."""
    ages = [(line["staleness"], line["clients"]) for line in record.scope("round") if "staleness" in line]
    updates = sum(clients for _, clients in ages)
    return sum(age * clients for age, clients in ages) / max(1, updates) if ages else None


def system_facts(record: Record) -> list[tuple[str, str]]:
    """Return what the rounds of a simulated system come to, as pairs of a heading and a value."""
    rounds = [line for line in record.scope("round") if "simulated_seconds" in line]
    total = sum(line["simulated_seconds"] for line in rounds)
    moved = sum(line["bytes_up"] + line["bytes_down"] for line in rounds)
    wasted = sum(line.get("wasted_bytes", 0) for line in rounds)
    # A long round's idle share counts for more than a short one's.
    idle = sum(line.get("idle_share", 0.0) * line["simulated_seconds"] for line in rounds)
    facts = [
        ("Simulated time", duration(total)),
        ("A round", duration(total / len(rounds))),
        ("Updates used", f"{sum(line['clients'] for line in rounds):,}"),
        ("Late", f"{sum(line.get('clients_late', 0) for line in rounds):,}"),
        ("Lost", f"{sum(line.get('clients_dropped', 0) for line in rounds):,}"),
        ("Idle share of clients", percent(idle / total if total else 0.0)),
        ("Traffic for nothing", f"{size(wasted)} ({percent(wasted / moved if moved else 0.0)})"),
    ]
    if rounds and "bytes_down_at_work" in rounds[-1]:
        facts.append(("Sent to clients still at work at the end", size(rounds[-1]["bytes_down_at_work"])))
    if (age := mean_staleness(record)) is not None:
        facts.append(("Staleness, mean", f"{age:.1f} rounds"))
    small = (record.environment.get("system") or {}).get("clients_too_small")
    if small:
        facts.append(("Devices too small", f"{small:,}"))
    return facts
