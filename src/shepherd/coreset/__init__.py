"""On what a client trains."""

from shepherd.coreset.base import Cohort, Coreset
from shepherd.coreset.fedhds import FedHDS
from shepherd.coreset.full import Full
from shepherd.coreset.kcenter import KCenter
from shepherd.coreset.kmeans import KMeans
from shepherd.coreset.perplexity import Perplexity
from shepherd.coreset.random import Random
from shepherd.coreset.relevant import Relevant
from shepherd.coreset.turbo import FedHDSTurbo
from shepherd.strategy import one_of

CoresetChoice = one_of(Coreset, Full, Random, Perplexity, FedHDS, FedHDSTurbo, KCenter, KMeans, Relevant)

__all__ = [
    "Cohort",
    "Coreset",
    "CoresetChoice",
    "FedHDS",
    "FedHDSTurbo",
    "Full",
    "KCenter",
    "KMeans",
    "Perplexity",
    "Random",
    "Relevant",
]
