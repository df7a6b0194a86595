"""What every way of choosing the examples a client trains on is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from shepherd.data.population import ClientView
from shepherd.strategy import Strategy


class Coreset(Strategy):
    """Which of its examples a client trains on in a round.

    The client's and the server's sides are apart: `summarise` and `examples` see one client's view and
    run beside its data; `choose` sees summaries only.
    """

    def summarise(self, view: ClientView) -> Any | None:
        """Say, at the client, what the server needs to choose; None if it needs nothing."""
        return None

    def choose(self, summaries: Mapping[int, Any], state: Mapping[str, Any]) -> dict[int, Any]:
        """Choose, at the server, from the cohort's summaries; clients left out get no choice."""
        return {}

    def examples(self, view: ClientView, choice: Any | None) -> np.ndarray:
        """Return, at the client, the rows to train on under the server's `choice`."""
        raise NotImplementedError
