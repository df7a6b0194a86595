"""On what a client trains."""

from shepherd.coreset.base import Cohort, Coreset
from shepherd.coreset.full import Full
from shepherd.strategy import one_of

CoresetChoice = one_of(Coreset, Full)

__all__ = ["Cohort", "Coreset", "CoresetChoice", "Full"]
