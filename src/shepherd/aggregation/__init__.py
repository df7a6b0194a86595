"""How the cohort's updates become the new global adapter."""

from shepherd.aggregation.base import Aggregation
from shepherd.aggregation.fedavg import FedAvg
from shepherd.strategy import one_of

AggregationChoice = one_of(Aggregation, FedAvg)

__all__ = ["Aggregation", "AggregationChoice", "FedAvg"]
