"""What a site checks, and tells its owner, before anybody is told of it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from shepherd.deploy.private_files import private_folder
from shepherd.deploy.site import Site
from shepherd.errors import ShepherdError
from shepherd.model.base import source_of
from shepherd.units import size, whole

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
    examples : int
        How many examples that holds.
    bases : list of str
        The base models its owner allows.
    free : int
        Free room for its state, in bytes.
    categories_told : bool
        Whether its owner lets a run be told what categories it has.
    """

    name: str
    federation: str
    address: str
    data: str
    examples: int
    bases: list[str]
    free: int
    categories_told: bool

    def _of_categories(self) -> str:
        return (
            "; the names of your categories, and how many examples each has" if self.categories_told else ""
        )

    def sentences(self) -> list[str]:
        """Return it in words."""
        allowed = ", ".join(self.bases) or "none yet: name one in limits.base_models of site.yaml"
        return [
            f"Site '{self.name}' of the federation '{self.federation}', coordinator at {self.address}.",
            f"Data: {whole(self.examples)} examples in {self.data}. Base models allowed: {allowed}. "
            f"Free disk: {size(self.free)}.",
            "What leaves this machine: updates of the adapter, how many examples and tokens they come from, the loss "
            "on them, what a coreset's messages hold (means of features, if the run asks for FedHDS), fingerprints of "
            f"data and base model, versions{self._of_categories()}.",
            "What never leaves it: examples, any text, names of files, the base model, the adapter's optimiser.",
        ]


def readiness(site: Site) -> Readiness:
    """Check what can be checked without a network, and make the folder of the site's state.

    Parameters
    ----------
    site : Site
        Reads its instructions here, and keeps them.

    Raises
    ------
    ShepherdError
        If the data cannot be read, an allowed base is a folder that is not there, or the disk is nearly full.
    """
    settings, examples = site.settings, len(site.instructions)
    for name in settings.limits.base_models:
        source_of(name)
    private_folder(site.folder)
    free = shutil.disk_usage(site.folder).free
    if free < _LEAST_FREE:
        raise ShepherdError(
            f"Only {size(free)} are free where {site.folder} is, and a site needs {size(_LEAST_FREE)}; free some "
            "space, or give another --state."
        )
    return Readiness(
        name=settings.site,
        federation=settings.federation_name,
        address=settings.address,
        data=site.data,
        examples=examples,
        bases=list(settings.limits.base_models),
        free=free,
        categories_told=settings.limits.categories_told,
    )
