"""Everything: the coreset that leaves nothing out, as in FedIT."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from shepherd.coreset.base import Coreset
from shepherd.data.population import ClientView
from shepherd.messages import ClientJob

if TYPE_CHECKING:
    from shepherd.model.adapted import AdaptedModel


class Full(Coreset):
    """A client trains on all of its examples."""

    name: str = "full"

    def examples(self, view: ClientView, job: ClientJob, model: AdaptedModel) -> np.ndarray:
        """Return all of the client's rows."""
        return view.rows
