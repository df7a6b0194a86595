"""`shepherd doctor`: looks at everything that a federation needs here, without starting anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from shepherd.deploy.finding import Finding, look
from shepherd.deploy.machine_checks import MACHINE
from shepherd.errors import ShepherdError


def examine(place: Path | None = None, load: bool = False) -> Iterator[Finding]:
    """Yield what is found of this machine, and of a coordinator's folder or a site's bundle.

    Parameters
    ----------
    place : Path, optional
        The folder or the bundle; the machine alone unless told.
    load : bool
        Load the base models that a bundle allows, to compare their fingerprints.

    Raises
    ------
    ShepherdError
        If the place is neither, before anything is looked at.
    """
    own = _checks_of(place, load) if place is not None else iter(())
    yield from look(place or Path.cwd(), MACHINE)
    yield from own


def _checks_of(place: Path, load: bool) -> Iterator[Finding]:
    """Return what is found of a place; its imports need the federation's extra."""
    if (place / "federation.yaml").is_file():
        from shepherd.deploy.folder import FederationFolder
        from shepherd.deploy.folder_checks import FOLDER

        return look(FederationFolder(place), FOLDER)
    if (place / "site.yaml").is_file():
        from shepherd.deploy.bundle import Bundle
        from shepherd.deploy.bundle_checks import bundle_checks

        bundle = Bundle(place)
        return look(bundle, bundle_checks(bundle, load))
    raise ShepherdError(
        f"{place} is neither a coordinator's folder (federation.yaml) nor a site's bundle (site.yaml); give one of "
        "them, or nothing to look at this machine alone."
    )
