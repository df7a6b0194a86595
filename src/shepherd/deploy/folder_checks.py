"""What a coordinator's folder must be, before a run begins: its certificate, its keys, its port, its sites."""

from __future__ import annotations

import errno
import socket
from datetime import UTC, datetime

from shepherd.deploy.certificates import Authority, is_signed_by, read_certificate
from shepherd.deploy.coordinating import is_running
from shepherd.deploy.finding import Check, Finding, ok
from shepherd.deploy.folder import FederationFolder
from shepherd.deploy.private_files import refuse_public
from shepherd.units import counted

SOON_DAYS = 30


def federation(folder: FederationFolder) -> Finding:
    """Look at federation.yaml."""
    settings = folder.settings
    return ok(f"{folder.path} is the federation '{settings.name}', at {settings.address}.")


def authority(folder: FederationFolder) -> Finding:
    """Look at the federation's own certificate, and the key that signs, where that is here."""
    left = read_certificate(folder.authority).days_left(datetime.now(UTC))
    said = f"The federation's own certificate (ca.pem) is good for {counted(max(left, 0), 'day')}"
    if left < 0:
        return Finding("problem", f"{said}.", "Make a new federation, and hand its sites new bundles.")
    if not folder.authority_key.exists():
        return ok(f"{said}; its key is kept elsewhere, and needed for `shepherd federation renew` only.")
    Authority.read(folder.authority, folder.authority_key)
    return ok(f"{said}.")


def certificate(folder: FederationFolder) -> Finding:
    """Look at the coordinator's certificate: who signed it, for how long, and for which names."""
    facts, renew = read_certificate(folder.certificate), f"shepherd federation renew {folder.path}"
    if not is_signed_by(folder.certificate, folder.authority):
        return Finding("problem", "server.pem is not signed by ca.pem; no site would connect.", renew)
    now = datetime.now(UTC)
    if fault := facts.fault(now, folder.settings.certificate_names):
        return Finding("problem", f"The certificate {fault}.", renew)
    left = facts.days_left(now)
    said = (
        f"The certificate is for {', '.join(facts.names)}, signed by ca.pem, good for {counted(left, 'day')}."
    )
    return Finding("warning", said, renew) if left < SOON_DAYS else ok(said)


def key(folder: FederationFolder) -> Finding:
    """Look whether the coordinator's key is the certificate's."""
    Authority.read(folder.certificate, folder.key)  # the same question as of an authority's pair
    return ok("server.key belongs to server.pem.")


def private(folder: FederationFolder) -> Finding:
    """Look whether others may read a key."""
    files = [file for file in (folder.authority_key, folder.key, folder.secret) if file.exists()]
    for file in files:
        refuse_public(file)
    if folder.secret not in files or not folder.secret.read_bytes():
        return Finding("problem", f"{folder.secret} is missing or empty.", "Restore it from a backup.")
    return ok(f"{', '.join(file.name for file in files)} cannot be read by everybody.")


def port(folder: FederationFolder) -> Finding:
    """Look whether the port is free, or used by this very federation's coordinator."""
    settings = folder.settings
    place = f"Port {settings.port} of {settings.bind}"
    number = _refused(settings.bind, settings.port)
    if number is None:
        return ok(f"{place} is free.")
    if number == errno.EADDRINUSE and is_running(folder):
        return ok(f"{place} is used by this federation's coordinator.")
    if number == errno.EADDRINUSE:
        return Finding(
            "problem", f"{place} is taken.", "Stop what uses it, or change port in federation.yaml."
        )
    if number == errno.EACCES:
        return Finding(
            "problem", f"{place} is not yours to listen at.", "Choose a port from 1024 on in federation.yaml."
        )
    return Finding(
        "problem", f"This machine has no address {settings.bind}.", "Correct bind in federation.yaml."
    )


def sites(folder: FederationFolder) -> Finding:
    """Look at who may take part."""
    known, least = folder.registered(), folder.settings.minimum_sites
    said = f"{counted(len(known), 'site')} of at least {least}: {', '.join(one.name for one in known) or 'none'}."
    if len(known) < least:
        return Finding("warning", said, f"Add some: shepherd federation add-site {folder.path} NAME")
    return ok(said)


def bundles(folder: FederationFolder) -> Finding:
    """Look for bundles that were not handed over, or not deleted here since."""
    here = [name for name in folder.sites() if folder.bundle(name).is_dir()]
    if here:
        return Finding(
            "warning",
            f"Still in {folder.path / 'bundles'}: {', '.join(here)}.",
            "Hand each to its site, then delete it here: whoever has it takes part in the site's name.",
        )
    return ok("No bundle is left here.")


FOLDER: tuple[tuple[Check[FederationFolder], ...], ...] = (
    (federation, authority, certificate, key),
    (private,),
    (port,),
    (sites,),
    (bundles,),
)


def _refused(host: str, number: int) -> int | None:
    """Return the error number with which the system refuses to listen at a port, or None if it does not."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, number))
        except OSError as error:
            return error.errno or errno.EADDRNOTAVAIL
    return None
