"""What a round begins with: what is known, what clients are told, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from shepherd.aggregation import Aggregation
from shepherd.capacity import Capacity, Configuration
from shepherd.client import ClientSide
from shepherd.messages import ClientJob
from shepherd.participation import Candidates
from shepherd.scope import Scope
from shepherd.state import RunState
from shepherd.tree import Tree, to_bytes


@dataclass(frozen=True)
class Opening:
    """What a round begins with.

    Attributes
    ----------
    state : RunState
        As the round before left it.
    candidates : Candidates
        Everybody who could take part.
    aggregation : Aggregation
        Says what clients are sent, and told beside it.
    capacity : Capacity
        Says what of the adapter each client holds.
    polled : dict of int to float
        What clients, by number, said of their losses when the cohort was chosen.
    """

    state: RunState
    candidates: Candidates
    aggregation: Aggregation
    capacity: Capacity
    polled: dict[int, float] = field(default_factory=dict)
    _scopes: dict[Configuration, Scope] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def told(self) -> Tree:
        """What the aggregation tells the round's clients beside the adapter."""
        return self.aggregation.told(self.state.aggregation)

    @cached_property
    def residual(self) -> Tree:
        """What is added to the base's weights, factored, by module."""
        return self.aggregation.residual(self.state.aggregation)

    @property
    def number(self) -> int:
        """The round, from 1."""
        return self.state.round + 1

    @cached_property
    def told_bytes(self) -> int:
        """Length of what each client is told beside the adapter, in bytes."""
        return sum(len(to_bytes(tree)) for tree in (self.told, self.residual) if tree)

    def job(self, client: int, rounds: int) -> ClientJob:
        """Return what is asked of a client, before anything is chosen for it; `rounds` is the run's number of them."""
        kept: Tree = self.state.clients.get(str(client), {})
        candidates = self.candidates
        return ClientJob(
            client,
            candidates.round,
            rounds,
            candidates.seed,
            self.aggregation.sent(self.state.adapter, self.state.aggregation, client),
            state=kept,
            told=self.told,
            residual=self.residual,
            configuration=self.configuration(client),
        )

    def configuration(self, client: int) -> Configuration:
        """Return what of the adapter a client holds."""
        known = self.candidates
        return self.capacity.configuration(client, known.names[client], int(known.sizes[client]), known.seed)

    def sent_bytes(self, client: int, side: ClientSide) -> int:
        """Return how many bytes a client is sent to train in this round."""
        return self.scope(client, side).down.layout.wire_bytes + self.told_bytes

    def answer_bytes(self, client: int, side: ClientSide) -> int:
        """Return how many bytes a client is expected to send: its update, and what is said beside it."""
        said = 4 * self.state.adapter.parameters if self.aggregation.says_tensors else 0
        return side.update_bytes(self.scope(client, side).up.layout) + said

    def scope(self, client: int, side: ClientSide) -> Scope:
        """Return what of the adapter a client deals with in this round; clients of one configuration have the same."""
        configuration = self.configuration(client)
        if configuration not in self._scopes:
            layout = self.state.adapter.layout
            self._scopes[configuration] = side.scope(configuration, layout, self.candidates.round)
        return self._scopes[configuration]
