"""The kinds of adapter a run can train: PEFT's, the base's own weights, and these moved by seeds."""

from shepherd.model.kinds.base import AdapterKind
from shepherd.model.kinds.ia3 import IA3
from shepherd.model.kinds.kseed import KSeed
from shepherd.model.kinds.low_rank import Dora, Lora, LoraSB, LowRank
from shepherd.model.kinds.own_weights import BitFit, Full
from shepherd.model.kinds.virtual import PrefixTuning, PromptTuning, PTuning, VirtualKind
from shepherd.strategy import one_of

KINDS = (Lora, Dora, LoraSB, IA3, PromptTuning, PTuning, PrefixTuning, BitFit, Full, KSeed)
AdapterChoice = one_of(AdapterKind, *KINDS)

__all__ = [
    "IA3",
    "KINDS",
    "AdapterChoice",
    "AdapterKind",
    "BitFit",
    "Dora",
    "Full",
    "KSeed",
    "Lora",
    "LoraSB",
    "LowRank",
    "PTuning",
    "PrefixTuning",
    "PromptTuning",
    "VirtualKind",
]
