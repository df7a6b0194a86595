"""As many clients as a deadline allows."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from shepherd.errors import ShepherdError
from shepherd.participation.base import Candidates
from shepherd.participation.counted import CountedParticipation
from shepherd.randomness import generator
from shepherd.tree import Tree


class FedCS(CountedParticipation):
    """Of clients drawn at random, as many as are expected to be done by a deadline.

    FedCS (Nishio and Yonetani, arXiv 1804.08333): the client that prolongs the round least is added as long as the
    deadline holds. There all share one uplink and send one after another; here, as in `shepherd.simulation`, each has
    its own, and a round lasts as long as the slowest of its clients. It serves the number of clients, not what they
    have to say.

    As in the paper's protocol, a share C of all clients, drawn at random, is asked for its resources first, and only of
    these are clients chosen: that is ``fraction`` (or ``count``), a tenth unless told, and ``fraction=1`` leaves the
    deadline alone to choose.

    Attributes
    ----------
    deadline_s : float
        How long a round may last, in seconds of the simulated system. It only chooses; what ends a round is
        ``system.deadline_s``.
    """

    name: str = "fedcs"
    deadline_s: float = Field(gt=0, examples=[600])

    def suits(self, config: Any) -> None:
        """Refuse where nothing is known of devices."""
        super().suits(config)
        if config.system is None:
            raise ValueError(
                "participation.name=fedcs needs to know how fast devices are; set system, or use "
                "participation.name=random"
            )

    def select(self, candidates: Candidates, state: Tree) -> list[int]:
        """Add the drawn clients, the one that prolongs the round least first; in ascending order of number."""
        devices = candidates.devices
        if devices is None:
            raise ShepherdError("participation.name=fedcs needs a system that says how fast devices are.")
        draw = generator(candidates.seed, "participation", candidates.round)
        places = draw.choice(len(candidates.pool), size=self.invited(candidates), replace=False)
        drawn = [candidates.pool[place] for place in places]
        seconds = {client: devices.expected_seconds(client, candidates.sizes[client]) for client in drawn}
        # The greedy order is from the fastest on, and the round lasts as long as the last that was added.
        return sorted(client for client in drawn if seconds[client] <= self.deadline_s)
