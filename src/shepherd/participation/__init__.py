"""Who takes part in a round."""

from shepherd.participation.base import Candidates, Devices, Losses, Participation, Report
from shepherd.participation.counted import CountedParticipation
from shepherd.participation.coverage import Coverage
from shepherd.participation.divfl import DivFL
from shepherd.participation.fedcs import FedCS
from shepherd.participation.only import Only
from shepherd.participation.oort import Oort
from shepherd.participation.power_of_choice import PowerOfChoice
from shepherd.participation.random import Random
from shepherd.participation.round_robin import RoundRobin
from shepherd.participation.trace import CHOOSERS, Trace
from shepherd.participation.weighted import Weighted
from shepherd.strategy import one_of

ParticipationChoice = one_of(Participation, *CHOOSERS, Trace)

__all__ = [
    "Candidates",
    "CountedParticipation",
    "Coverage",
    "Devices",
    "DivFL",
    "FedCS",
    "Losses",
    "Only",
    "Oort",
    "Participation",
    "ParticipationChoice",
    "PowerOfChoice",
    "Random",
    "Report",
    "RoundRobin",
    "Trace",
    "Weighted",
]
