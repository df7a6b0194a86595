"""A site's bundle: the one folder that a site needs, handed over by the coordinator once."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from shepherd.deploy.certificates import key_fingerprint, public_of, read_certificate
from shepherd.deploy.commented import bundle_readme, commented
from shepherd.deploy.private_files import refuse_public, write_private
from shepherd.deploy.settings import SiteSettings, read_settings
from shepherd.errors import ShepherdError
from shepherd.files import write_directory

_HEADING = (
    "This site in its federation. Everything here is its owner's to set; the limits bind every coordinator."
)


class Bundle:
    """A bundle on disk.

    Parameters
    ----------
    path : Path
        The folder.

    Attributes
    ----------
    authority : Path
        The certificate that the coordinator's must be signed by.
    key : Path
        What the site is known by: its private key.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.authority = path / "ca.pem"
        self.key = path / "site.key"

    @cached_property
    def settings(self) -> SiteSettings:
        """Who this site is, and what its owner allows, as ``site.yaml`` says."""
        self._refuse_missing("site.yaml")
        return read_settings(SiteSettings, self.path / "site.yaml")

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the site's key, which the coordinator's list of sites shows too."""
        return key_fingerprint(public_of(self.key))

    def check(self) -> None:
        """Refuse a bundle that cannot work: before anything is loaded, and without a network.

        Raises
        ------
        ShepherdError
            If a file is missing or damaged, everybody may read the key, or the parts are of two federations.
        """
        for name in ("site.yaml", "ca.pem", "site.key"):
            self._refuse_missing(name)
        refuse_public(self.key)
        public_of(self.key)
        facts, federation = read_certificate(self.authority), self.settings.federation
        if facts.subject != authority_name(federation):
            raise ShepherdError(
                f"{self.authority} is not of the federation that site.yaml names ({federation}); restore both from "
                "one bundle."
            )
        if fault := facts.fault(datetime.now(UTC)):
            raise ShepherdError(f"{self.authority} {fault}; ask the coordinator for a new bundle.")

    def _refuse_missing(self, name: str) -> None:
        if not (self.path / name).is_file():
            raise ShepherdError(
                f"{self.path} is no site's bundle: it has no {name}; give the folder that the coordinator handed you."
            )


def authority_name(federation: str) -> str:
    """Return what a federation's authority is called."""
    return f"Shepherd federation {federation}"


def write_bundle(path: Path, settings: SiteSettings, authority: bytes, key: bytes) -> None:
    """Write a bundle, whole or not at all.

    Parameters
    ----------
    path : Path
        The folder; an older one is replaced.
    settings : SiteSettings
        What ``site.yaml`` is to say.
    authority : bytes
        The federation's own certificate, in PEM.
    key : bytes
        The site's private key, in OpenSSH's form.
    """

    def fill(folder: Path) -> None:
        """Write the files; nobody else may look into the folder from the first on."""
        folder.chmod(0o700)
        write_private(folder / "site.key", key)
        (folder / "ca.pem").write_bytes(authority)
        (folder / "site.yaml").write_text(commented(settings, _HEADING), encoding="utf-8")
        (folder / "README.md").write_text(bundle_readme(settings), encoding="utf-8")

    write_directory(path, fill)
