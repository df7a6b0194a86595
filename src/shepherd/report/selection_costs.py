"""What a coreset's selection cost a run and what it saved, out of the run's metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shepherd.report.record import Record
from shepherd.run_files import Metric
from shepherd.units import duration, fixed, is_number, percent, size


@dataclass(frozen=True)
class SelectionCosts:
    """Sums over a run's rounds; where nothing was measured, None.

    Attributes
    ----------
    rounds : int
        Rounds trained.
    selected, held : int
        Different examples that a round's clients trained on, of those they hold, added up over the rounds.
    seconds, training_seconds : float, optional
        Spent on choosing, and on the rest of the rounds.
    bytes_up : int
        Sent by clients for the choice.
    groups, surviving_groups : int, optional
        Groups the clients made, and those that were trained on, added up over the rounds.
    epsilon_of_message, epsilon_per_mean, delta : float, optional
        The largest epsilon of one client's message and of one of its means, at that delta.
    """

    rounds: int
    selected: int
    held: int
    seconds: float | None = None
    training_seconds: float | None = None
    bytes_up: int = 0
    groups: int | None = None
    surviving_groups: int | None = None
    epsilon_of_message: float | None = None
    epsilon_per_mean: float | None = None
    delta: float | None = None

    @property
    def share(self) -> float | None:
        """Examples trained on, as a share of what the rounds' clients hold."""
        return self.selected / self.held if self.held else None


def selection_costs(record: Record) -> SelectionCosts | None:
    """Return what selection cost, or None of a run whose clients trained on all they have."""
    rounds, asked = record.scope("round"), record.scope("selection")
    selected, held = (int(_total(rounds, key) or 0) for key in ("selected", "examples_held"))
    if not rounds or not (asked or selected < held):
        return None
    costs = SelectionCosts(len(rounds), selected, held)
    return _asked(costs, record, asked) if asked else costs


def _asked(costs: SelectionCosts, record: Record, asked: Sequence[Metric]) -> SelectionCosts:
    """Add what is known where clients were asked; elsewhere they choose while they train."""
    seconds = record.selection_seconds
    groups, surviving = _total(asked, "groups"), _total(asked, "surviving_groups")
    return SelectionCosts(
        costs.rounds,
        costs.selected,
        costs.held,
        seconds=seconds,
        training_seconds=None if seconds is None else record.training_seconds,
        bytes_up=int(_total(asked, "bytes_up") or 0),
        groups=None if groups is None else int(groups),
        surviving_groups=None if surviving is None else int(surviving),
        **{key: _largest(asked, key) for key in ("epsilon_of_message", "epsilon_per_mean", "delta")},
    )


def selection_facts(costs: SelectionCosts, training_rows: int | None) -> list[tuple[str, str]]:
    """Return the costs as pairs of a heading and a value.

    Parameters
    ----------
    costs : SelectionCosts
        What to say.
    training_rows : int, optional
        Examples that all clients hold together, where it is known.
    """
    rounds = costs.rounds
    of_all = costs.selected / rounds / training_rows if training_rows else None
    facts = [
        ("Share of the clients' examples", percent(costs.share)),
        ("Share of all examples", percent(of_all)),
    ]
    if costs.groups is not None:
        facts.append(("Groups a round", fixed(costs.groups / rounds, 1)))
        facts.append(("Surviving groups a round", fixed((costs.surviving_groups or 0) / rounds, 1)))
    if costs.seconds is not None and costs.training_seconds is not None:
        facts.append(("Choosing, a round", duration(costs.seconds / rounds)))
        facts.append(("Local training, a round", duration(costs.training_seconds / rounds)))
        facts.append(("Choosing, in all", duration(costs.seconds)))
        facts.append(("Local training, in all", duration(costs.training_seconds)))
    if costs.bytes_up:
        facts.append(("Sent for the choice", size(costs.bytes_up)))
    return facts


def privacy_sentence(costs: SelectionCosts) -> str:
    """Say what the noise on the groups' means is worth; nothing where there is none."""
    if costs.epsilon_of_message is None:
        return ""
    each = f" ({fixed(costs.epsilon_per_mean, 1)} of one mean)" if costs.epsilon_per_mean is not None else ""
    at = "" if costs.delta is None else f" at δ = {costs.delta:.2g}"
    return (
        f"Noise is added to the groups' means: the largest ε of a client's message, and so of any one round, is "
        f"{fixed(costs.epsilon_of_message, 1)}{at}{each}. Every further message of a client with groups made anew adds "
        "to it; the number of its groups is sent as it is."
    )


def _total(lines: Sequence[dict[str, Any]], key: str) -> float | None:
    found = _numbers(lines, key)
    return sum(found) if found else None


def _largest(lines: Sequence[dict[str, Any]], key: str) -> float | None:
    return max(_numbers(lines, key), default=None)


def _numbers(lines: Sequence[dict[str, Any]], key: str) -> list[float]:
    return [line[key] for line in lines if is_number(line.get(key))]
