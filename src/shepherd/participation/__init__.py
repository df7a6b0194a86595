"""Who takes part in a round."""

from shepherd.participation.base import Participation
from shepherd.participation.only import Only
from shepherd.participation.random import Random
from shepherd.strategy import one_of

ParticipationChoice = one_of(Participation, Random, Only)

__all__ = ["Only", "Participation", "ParticipationChoice", "Random"]
