"""What happens to an update on its way to the server."""

from __future__ import annotations

import numpy as np

from shepherd.model.adapter import Adapter
from shepherd.strategy import Strategy


class Transform(Strategy):
    """A step between a client's update and the aggregate; several are applied in the order given."""

    def client(self, update: Adapter, rng: np.random.Generator) -> Adapter:
        """Change a client's update, at the client, before it is sent."""
        return update

    def server(self, aggregate: Adapter, rng: np.random.Generator) -> Adapter:
        """Change the aggregated update, at the server; transforms are applied here in reverse."""
        return aggregate
