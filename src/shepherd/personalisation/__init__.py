"""How each client comes to an adapter of its own, beside the one that is everybody's."""

from shepherd.personalisation.base import Personalisation
from shepherd.personalisation.ditto import Ditto
from shepherd.personalisation.feddpa import FedDPAF, FedDPAT
from shepherd.personalisation.fine_tune import FineTune
from shepherd.strategy import one_of

PersonalisationChoice = one_of(Personalisation, FineTune, Ditto, FedDPAF, FedDPAT)

__all__ = ["Ditto", "FedDPAF", "FedDPAT", "FineTune", "Personalisation", "PersonalisationChoice"]
