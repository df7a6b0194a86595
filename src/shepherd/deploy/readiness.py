"""What a site checks, and tells its owner, before anybody is told of it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from shepherd.data.instructions import read_instructions
from shepherd.deploy.bundle import Bundle
from shepherd.errors import ShepherdError
from shepherd.files import explained
from shepherd.model.base import source_of
from shepherd.report.units import size, whole

#: Room that encoded examples, kept states and logs take besides the data itself.
_LEAST_FREE = 200 * 10**6


@dataclass(frozen=True)
class Readiness:
    """What a site has and allows.

    Attributes
    ----------
    name, federation, address : str
        Who it is, and where its coordinator is.
    data : str
        Its file.
    examples, longest : int
        How many examples that holds, and the characters of the longest.
    bases : list of str
        The base models its owner allows.
    free : int
        Free room for its state, in bytes.
    """

    name: str
    federation: str
    address: str
    data: str
    examples: int
    longest: int
    bases: list[str]
    free: int

    def sentences(self) -> list[str]:
        """Return it in words."""
        allowed = ", ".join(self.bases) or "none yet: name one in limits.base_models of site.yaml"
        return [
            f"Site '{self.name}' of the federation '{self.federation}', coordinator at {self.address}.",
            f"Data: {whole(self.examples)} examples in {self.data}. Base models allowed: {allowed}. "
            f"Free disk: {size(self.free)}.",
            "What leaves this machine: updates of the adapter, how many examples and tokens they come from, the loss "
            "on them, what a coreset's messages hold (means of features, if the run asks for FedHDS), fingerprints of "
            "data and base model, versions.",
            "What never leaves it: examples, any text, names of files, the base model, the adapter's optimiser.",
        ]


def readiness(bundle: Bundle, data: str, state: Path) -> Readiness:
    """Check what can be checked without a network.

    Raises
    ------
    ShepherdError
        If the data cannot be read, an allowed base is a folder that is not there, or the disk is nearly full.
    """
    settings = bundle.settings
    instructions = read_instructions(data, dict(settings.columns) or None)
    lengths = [len(text) for text in instructions.column("instruction")]
    for name in settings.limits.base_models:
        source_of(name)
    with explained(state):
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
    free = shutil.disk_usage(state).free
    if free < _LEAST_FREE:
        raise ShepherdError(
            f"Only {size(free)} are free where {state} is, and a site needs {size(_LEAST_FREE)}; free some space, or "
            "give another --state."
        )
    return Readiness(
        name=settings.site,
        federation=settings.federation_name,
        address=settings.address,
        data=data,
        examples=len(instructions),
        longest=max(lengths, default=0),
        bases=list(settings.limits.base_models),
        free=free,
    )
