"""Cohorts that are chosen of some clients drawn first."""

from __future__ import annotations

from pydantic import Field

from shepherd.errors import ShepherdError
from shepherd.participation.base import Candidates
from shepherd.participation.counted import CountedParticipation


class DrawnFirst(CountedParticipation):
    """A participation that draws some clients, and chooses among these.

    Attributes
    ----------
    drawn : int, optional
        How many are drawn, from the cohort's size upwards; subclasses say how many unless told.
    """

    drawn: int | None = Field(None, gt=0)

    def check(self, clients: int) -> None:
        """Refuse to draw fewer than take part, or more than there are."""
        super().check(clients)
        least = self.cohort_size(clients)
        if self.drawn is not None and not least <= self.drawn <= clients:
            raise ShepherdError(
                f"participation.drawn is {self.drawn}, but of {clients} clients {least} take part in a round; choose a "
                f"number from {least} to {clients}."
            )

    def drawing(self, candidates: Candidates, invited: int, usual: int) -> int:
        """Return how many are drawn of those that can be chosen: `usual` unless told, and no fewer than are invited."""
        return usual if self.drawn is None else min(max(self.drawn, invited), len(candidates.pool))
