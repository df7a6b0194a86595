"""Averaging in which groups of clients, not clients, count alike: languages, tasks, countries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from shepherd.aggregation.averaging import Averaging, WeightedSum
from shepherd.aggregation.base import Aggregated
from shepherd.aggregation.fedavg import FedAvg
from shepherd.errors import ShepherdError
from shepherd.messages import ClientUpdate
from shepherd.model.adapter import Adapter
from shepherd.settings import nearest
from shepherd.tree import Tree

if TYPE_CHECKING:
    from shepherd.participation import Candidates


class GroupWeighted(Averaging):
    """``x <- x + sum_k p_k (y_k - x)`` where a group's p_k add up to its share, however many examples it has.

    The objective is ``sum_g s_g F_g``, F_g being the mean loss over the group: AFL's (arXiv 1902.00146)
    with a lambda that stays. p_k counts all of a group's clients; of those that take part in a round it is normalised
    as in FedAvg, so a group of which more take part counts more in that round.

    Attributes
    ----------
    groups : mapping of str to list of str
        The names of each group's clients. Unless told, a client's group is the category of which it has the most
        examples.
    group_shares : mapping of str to float
        How much a group counts, beside 1 for those that are not named; 0 leaves it out.
    weights : str
        Whether a group's clients count by their ``examples``, or alike (``uniform``).
    """

    name: str = "group_weighted"
    weights: Literal["examples", "uniform"] = "examples"
    groups: dict[str, list[str]] = {}
    group_shares: dict[str, Annotated[float, Field(ge=0)]] = {}

    @property
    def asks_categories(self) -> bool:
        """Whether clients are grouped by what they hold."""
        return not self.groups

    def as_clients_know_it(self, config: Any) -> FedAvg:
        """Return an average: who is in which group, and what groups count, is nothing that clients need to know."""
        return FedAvg(weights=self.weights)

    @model_validator(mode="after")
    def _check_groups(self) -> Self:
        named = Counter(name for names in self.groups.values() for name in names)
        if twice := sorted(name for name, count in named.items() if count > 1):
            raise ValueError(f"groups names the client '{twice[0]}' twice; give it one group")
        return self

    def shares(self, candidates: Candidates, state: Tree) -> Sequence[float]:
        """Return p_k of everybody, which add up to 1."""
        groups = self.grouped(candidates)
        counts = candidates.sizes if self.weights == "examples" else [1] * len(groups)
        totals: Counter[str] = Counter()
        for group, count in zip(groups, counts, strict=True):
            totals[group] += int(count)
        if unknown := sorted(set(self.group_shares) - set(totals)):
            raise ShepherdError(
                f"aggregation.group_shares names the group '{unknown[0]}', and no client is in it"
                f"{nearest(unknown[0], sorted(totals))}"
            )
        wanted = {group: self.group_shares.get(group, 1.0) for group in totals}
        whole = sum(wanted.values())
        if whole <= 0:
            raise ShepherdError(
                "aggregation.group_shares leaves no group with a share; give one more than 0."
            )
        return [
            wanted[group] / whole * int(count) / totals[group]
            for group, count in zip(groups, counts, strict=True)
        ]

    def weight_of(self, update: ClientUpdate) -> float:
        """Return p_k: the share says all of it, whatever the client trained on this round."""
        return update.share

    def finish(self, adapter: Adapter, accumulator: WeightedSum, state: Tree) -> Aggregated:
        """Return the mean of the updates; no step where chance chose nobody but clients of groups without a share."""
        if accumulator.weight == 0:
            return Aggregated(adapter * 0.0, state)
        return super().finish(adapter, accumulator, state)

    def grouped(self, candidates: Candidates) -> list[str]:
        """Return everybody's group."""
        if not self.groups:
            return _main_categories(candidates)
        group_of = {name: group for group, names in self.groups.items() for name in names}
        for name in candidates.names:
            if name not in group_of:
                raise ShepherdError(
                    f"aggregation.groups has no group for the client '{name}'; name every client of the run in one."
                )
        if unknown := sorted(set(group_of) - set(candidates.names)):
            raise ShepherdError(
                f"aggregation.groups names '{unknown[0]}', and there is no such client"
                f"{nearest(unknown[0], list(candidates.names))}."
            )
        return [group_of[name] for name in candidates.names]


def _main_categories(candidates: Candidates) -> list[str]:
    """Return the category of which each client has the most examples; of equals the first by name."""
    if candidates.categories is None:
        raise ShepherdError(
            "group_weighted does not know which categories clients hold in this run; name the clients of each group "
            "in aggregation.groups."
        )
    return [
        max(sorted(counts), key=lambda category: counts[category]) if counts else ""
        for counts in candidates.categories
    ]
