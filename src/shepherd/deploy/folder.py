"""The coordinator's folder: the federation's keys and certificates, who its sites are, and the bundles made for them.

``federation.yaml`` is written last and makes the folder a federation; a site is one as soon as ``sites/`` has its
public key. So a kill leaves either no federation or a whole one, and no site that has no bundle.
"""

from __future__ import annotations

import secrets
import shutil
import unicodedata
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from shepherd.deploy.bundle import authority_name, write_bundle
from shepherd.deploy.certificates import Authority, key_fingerprint, new_identity, new_server_key
from shepherd.deploy.commented import commented
from shepherd.deploy.private_files import private_folder, write_private
from shepherd.deploy.settings import SITE_NAME, FederationSettings, Limits, SiteSettings, read_settings
from shepherd.errors import ShepherdError
from shepherd.files import explained, held, write_atomically

_HEADING = "The coordinator's side of a federation; read at every start of `shepherd coordinator`."
#: There while a federation is being made: what a kill left is then ours to overwrite, and nobody else's.
_BEGUN = ".federation-begun"
_LOCK = ".lock"


@dataclass(frozen=True)
class Registered:
    """A site that may take part.

    Attributes
    ----------
    name : str
        Its name.
    fingerprint : str
        Of its public key.
    since : datetime
        When its key was made, in UTC.
    """

    name: str
    fingerprint: str
    since: datetime


class FederationFolder:
    """A federation as its coordinator keeps it.

    Parameters
    ----------
    path : Path
        The folder.

    Attributes
    ----------
    authority, authority_key : Path
        The federation's own authority: its certificate, and the key that signs.
    certificate, key : Path
        The coordinator's certificate and its key.
    secret : Path
        32 random bytes that its own processes know one another by.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.authority, self.authority_key = path / "ca.pem", path / "ca.key"
        self.certificate, self.key = path / "server.pem", path / "server.key"
        self.secret = path / "secret"
        self._file = path / "federation.yaml"
        self._sites, self._bundles, self._removed = (path / name for name in ("sites", "bundles", "removed"))

    def refuse_taken(self) -> None:
        """Refuse a folder in which no federation can be made.

        Raises
        ------
        ShepherdError
            If it is a federation already or holds anything else.
        """
        if self._file.exists():
            raise ShepherdError(
                f"{self.path} is a federation already; add sites with `shepherd federation add-site`, or name "
                "another folder."
            )
        if self.path.exists() and not self.path.is_dir():
            raise ShepherdError(f"{self.path} is a file; name a new or empty folder.")
        if self.path.exists() and not (self.path / _BEGUN).exists() and any(self.path.iterdir()):
            raise ShepherdError(
                f"{self.path} holds something else than a federation; name a new or empty folder."
            )

    def init(self, settings: FederationSettings) -> None:
        """Make a federation without sites in a new or empty folder.

        Raises
        ------
        ShepherdError
            If the folder is a federation already or holds anything else.
        """
        self.refuse_taken()
        with explained(self.path):
            private_folder(self.path)
            (self.path / _BEGUN).touch()
        with self._held():
            self.refuse_taken()  # by who held it until now
            authority, key = Authority.new(authority_name(settings.federation)), new_server_key()
            write_private(self.authority_key, authority.key_pem)
            write_atomically(self.authority, authority.certificate_pem)
            write_private(self.key, key)
            write_atomically(self.certificate, authority.issue(settings.certificate_names, key))
            write_private(self.secret, secrets.token_bytes(32))
            with explained(self.path):
                self._sites.mkdir(exist_ok=True)
                self._bundles.mkdir(mode=0o700, exist_ok=True)
            write_atomically(self._file, commented(settings, _HEADING))
            (self.path / _BEGUN).unlink()

    @property
    def settings(self) -> FederationSettings:
        """What ``federation.yaml`` says now."""
        if not self._file.is_file():
            raise ShepherdError(
                f"{self.path} is no federation: it has no federation.yaml; make one with `shepherd federation init`."
            )
        return read_settings(FederationSettings, self._file)

    def sites(self) -> list[str]:
        """Return the names of the sites, in alphabetical order whatever their case."""
        return sorted((file.name.removesuffix(".pub") for file in self._sites.glob("[!.]*.pub")), key=_folded)

    def public_key_file(self, name: str) -> Path:
        """Return where a site's public key is kept.

        Raises
        ------
        ShepherdError
            If there is no such site.
        """
        if name not in self.sites():
            known = ", ".join(self.sites()) or "none"
            raise ShepherdError(f"{self.path} has no site '{name}'; its sites: {known}.")
        return self._sites / f"{name}.pub"

    def public_key(self, name: str) -> bytes:
        """Return a site's public key, one line of OpenSSH."""
        return self.public_key_file(name).read_bytes()

    def registered(self) -> list[Registered]:
        """Return who may take part, in the order of `sites`.

        Raises
        ------
        ShepherdError
            If a site's public key cannot be read, naming the site.
        """
        return [self._registered(name) for name in self.sites()]

    def _registered(self, name: str) -> Registered:
        file = self.public_key_file(name)
        try:
            since = datetime.fromtimestamp(file.stat().st_mtime, UTC)
            return Registered(name, key_fingerprint(file.read_bytes()), since)
        except (ShepherdError, OSError) as error:
            raise ShepherdError(
                f"The public key of site '{name}' in {file} cannot be read; restore it, or remove the site and add "
                "it again."
            ) from error

    def bundle(self, name: str) -> Path:
        """Return where a site's bundle is, until it is handed over."""
        return self._bundles / name

    def add_site(self, name: str, limits: Limits) -> Path:
        """Make a key and a bundle for a new site.

        Parameters
        ----------
        name : str
            Its name.
        limits : Limits
            What its owner finds in ``site.yaml`` to begin with.

        Returns
        -------
        Path
            The bundle, to be handed over; the private key is nowhere else.

        Raises
        ------
        ShepherdError
            If the name cannot be one, or is taken, in any case of its letters.
        """
        settings = self.settings
        with self._held():
            check_names([name], self.sites())
            identity = new_identity()
            own = SiteSettings(
                federation=settings.federation,
                federation_name=settings.name,
                site=name,
                address=settings.address,
                limits=limits,
            )
            # The bundle first: what a kill leaves is then no site, and the next attempt replaces it.
            write_bundle(self.bundle(name), own, self.authority.read_bytes(), identity.private)
            write_atomically(self._sites / f"{name}.pub", identity.public)
        return self.bundle(name)

    def remove_site(self, name: str) -> None:
        """Take a site's key off the list, and its bundle out of the way if it is still here; both are kept aside.

        Raises
        ------
        ShepherdError
            If there is no such site.
        """
        self.settings  # noqa: B018, refuses a folder that is no federation
        with self._held():
            key = self.public_key_file(name)
            aside = self._place_aside(name)
            with explained(aside):
                self._removed.mkdir(mode=0o700, exist_ok=True)
                key.rename(aside.with_name(f"{aside.name}.pub"))
                if self.bundle(name).is_dir():
                    shutil.move(self.bundle(name), aside)

    def renew_certificate(self) -> None:
        """Issue the coordinator's certificate anew, for the names ``federation.yaml`` has now.

        Its key stays, unless it was deleted: so a kill never leaves a key and a certificate that do not fit. Bundles
        stay good, since they know the authority only.
        """
        settings = self.settings
        with self._held():
            authority = Authority.read(self.authority, self.authority_key)
            if not self.key.exists():
                write_private(self.key, new_server_key())
            issued = authority.issue(settings.certificate_names, self.key.read_bytes())
            write_atomically(self.certificate, issued)

    def _held(self) -> AbstractContextManager[None]:
        return held(self.path / _LOCK, f"Another command is changing {self.path}; wait until it is done.")

    def _place_aside(self, name: str) -> Path:
        """Return the first place that is free, since a site of one name may be removed again and again."""
        number, place = 1, self._removed / name
        while place.exists() or place.with_name(f"{place.name}.pub").exists():
            number += 1
            place = self._removed / f"{name}-{number}"
        return place


def check_names(names: Iterable[str], taken: Iterable[str] = ()) -> None:
    """Refuse names that no site can have, or that are taken; small and capital letters count as the same.

    Raises
    ------
    ShepherdError
        Naming the first.
    """
    seen = {_folded(name): name for name in taken}
    for name in names:
        if not SITE_NAME.fullmatch(name):
            raise ShepherdError(
                f"A site cannot be called '{name}'; use up to 64 letters, digits and . _ -, the first of them a letter "
                "of a to z or a digit."
            )
        if _folded(name) in seen:
            raise ShepherdError(
                f"There is a site '{seen[_folded(name)]}' already; choose another name than '{name}'."
            )
        seen[_folded(name)] = name


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
