"""What every simulated system is: between those who are chosen and those whose updates are aggregated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from shepherd.messages import ClientUpdate
from shepherd.participation.base import Candidates
from shepherd.simulation.fleet import Fleet
from shepherd.simulation.workload import Workload
from shepherd.strategy import Strategy
from shepherd.tree import Tree


@dataclass(frozen=True)
class Invited:
    """Who is asked to train.

    Attributes
    ----------
    everybody : sequence of int
        Those that are asked, in the order in which they are aggregated.
    training : sequence of int
        Those of them whose training can be of use, and is done; of the others it is known that they leave first.
    figures : mapping of str to float
        What the round's line of metrics says of those that were chosen and not asked.
    """

    everybody: Sequence[int]
    training: Sequence[int]
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Arrived:
    """What of a round's updates is aggregated.

    Attributes
    ----------
    updates : sequence of ClientUpdate
        In the order in which they are aggregated, each with what its client keeps.
    state : Tree
        What the system remembers: its clock, and what is still under way.
    figures : mapping of str to float
        What the round's line of metrics says of it, each figure with its unit in its name.
    clients : mapping of int to mapping
        The same for each client whose update is aggregated.
    missing : mapping of int to mapping
        The same for each whose update is not: lost, late or too old.
    """

    updates: Sequence[ClientUpdate]
    state: Tree
    figures: Mapping[str, float] = field(default_factory=dict)
    clients: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    missing: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)


class System(Strategy):
    """Devices and networks, on a virtual clock. Nothing in it depends on the wall clock of this machine.

    Attributes
    ----------
    stale : bool
        Whether it lets updates through that were trained from the adapter of an earlier round.
    """

    stale: ClassVar[bool] = False

    def init(self) -> Tree:
        """Return the state before the first round."""
        return {}

    def check(self, names: Sequence[str]) -> None:
        """Refuse files that cannot be used for the clients of these names."""

    def warn_of_cohort(self, chosen: int) -> None:
        """Say what does not come out as one would think where participation chooses so many clients at most."""

    def facts(self, names: Sequence[str], seed: int, work: Workload) -> dict[str, Any]:
        """Return what ``environment.json`` says of the devices.

        Parameters
        ----------
        names : sequence of str, [clients]
            Everybody's names.
        seed : int
            The run's seed.
        work : Workload
            What is asked of each.

        Raises
        ------
        ShepherdError
            If nobody is able to do it.
        """
        return {}

    def fleet(self, candidates: Candidates, work: Workload, state: Tree) -> Fleet | None:
        """Return what a participation may ask about the clients' devices; nothing unless there are any.

        Parameters
        ----------
        candidates : Candidates
            Everybody.
        work : Workload
            What is asked of each.
        state : Tree
            What the system remembers.
        """
        return None

    def invite(self, chosen: Sequence[int], candidates: Candidates, work: Workload, state: Tree) -> Invited:
        """Return who of those that participation chose is asked to train now.

        Parameters
        ----------
        chosen : sequence of int
            The cohort, in the order in which it is aggregated.
        candidates, work, state
            As for `fleet`.
        """
        return Invited(chosen, chosen)

    def why_nobody(self, arrived: Arrived) -> str:
        """Say why no update of a round is used, and what would help; nothing where that is not the system's doing."""
        return ""

    def arrive(
        self,
        invited: Invited,
        updates: Sequence[ClientUpdate],
        down_bytes: Mapping[int, int],
        candidates: Candidates,
        work: Workload,
        state: Tree,
    ) -> Arrived:
        """Say which updates the server aggregates now.

        Parameters
        ----------
        invited : Invited
            Who was asked. A coreset may have left some of them out since: they have no update.
        updates : sequence of ClientUpdate
            What those that trained would send.
        down_bytes : mapping of int to int
            What each of those that were asked is sent.
        candidates, work, state
            As for `fleet`.
        """
        raise NotImplementedError
