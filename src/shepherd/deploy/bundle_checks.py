"""What a site's bundle must be, and what its coordinator must answer, before the site takes part."""

from __future__ import annotations

import socket
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from http.client import HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from shepherd.data.instructions import read_instructions
from shepherd.deploy.bundle import Bundle
from shepherd.deploy.certificates import read_certificate
from shepherd.deploy.finding import Check, Finding, ok
from shepherd.errors import ShepherdError
from shepherd.model.base import BaseModelConfig, load_base, source_of
from shepherd.model.proxy import load_proxy
from shepherd.units import counted, duration, whole

_PATIENCE_S = 5.0
#: A site's signature names a time, and Flower takes it for so long before and after.
SIGNATURE_S = 300.0
_CLOSE_S, _TOO_FAR_S = 30.0, 240.0
_SOON_DAYS = 30
#: OpenSSL's words for what is wrong with a certificate, and what that means to a site's owner.
_MEANINGS = {
    9: "The coordinator's certificate is not valid yet; compare the clocks of both machines.",
    10: "The coordinator's certificate has ended; its owner has to run `shepherd federation renew`.",
    62: "The coordinator's certificate is for other names than this address; ask whether the address is right.",
    64: "The coordinator's certificate is for other addresses than this one; ask whether the address is right.",
}


def whole_bundle(bundle: Bundle) -> Finding:
    """Look at the bundle's files, as `shepherd site` does."""
    bundle.check()
    settings = bundle.settings
    return ok(
        f"{bundle.path} is site '{settings.site}' of '{settings.federation_name}' ({bundle.fingerprint})."
    )


def authority(bundle: Bundle) -> Finding:
    """Look how long the bundle is good for."""
    left = read_certificate(bundle.authority).days_left(datetime.now(UTC))
    said = f"The bundle's certificate (ca.pem) is good for {counted(left, 'day')}."
    if left < _SOON_DAYS:
        return Finding("warning", said, "Ask the coordinator for a new bundle.")
    return ok(said)


def proxy(bundle: Bundle) -> Finding:
    """Look whether a proxy stands between: Flower goes through the environment's."""
    host, _ = _place(bundle)
    found = urllib.request.getproxies().get("https")
    if found and not urllib.request.proxy_bypass(host):
        return Finding(
            "warning",
            f"The environment names a proxy, and {host} would be reached through it.",
            f"If it is reached directly, start the site with NO_PROXY={host}.",
        )
    return ok(f"No proxy stands before {host}.")


def reachable(bundle: Bundle) -> Finding:
    """Look whether the coordinator's port answers at all."""
    address = bundle.settings.address
    try:
        socket.create_connection(_place(bundle), _PATIENCE_S).close()
    except socket.gaierror:
        return Finding(
            "problem",
            f"No machine is known by the name in {address}.",
            "Check address in site.yaml and this machine's DNS.",
        )
    except ConnectionRefusedError:
        return Finding(
            "problem",
            f"Nothing listens at {address}.",
            "Ask whether the coordinator runs; sites wait for it.",
        )
    except OSError as error:
        return Finding(
            "problem",
            f"{address} cannot be reached ({error.strerror or error}).",
            "Ask whether the coordinator runs, and let this machine connect to that port (firewall).",
        )
    return ok(f"{address} can be reached.")


def trusted(bundle: Bundle) -> Finding:
    """Look whether who answers there is the bundle's coordinator."""
    host, _ = _place(bundle)
    try:
        with (
            socket.create_connection(_place(bundle), _PATIENCE_S) as plain,
            _context(bundle).wrap_socket(plain, server_hostname=host) as secured,
        ):
            return ok(f"{secured.version()}: the coordinator's certificate is signed by ca.pem, for {host}.")
    except ssl.SSLCertVerificationError as error:
        other = "Who answers there is not this bundle's coordinator: ca.pem did not sign its certificate."
        return Finding("problem", _MEANINGS.get(error.verify_code, other), "Ask the coordinator.")
    except OSError as error:
        return Finding(
            "problem",
            f"Who answers there does not speak TLS ({error.strerror or error}).",
            "Check address in site.yaml; a proxy or firewall may stand between.",
        )


def clock(bundle: Bundle) -> Finding:
    """Look how far this machine's clock is from the coordinator's."""
    host, port = _place(bundle)
    connection = HTTPSConnection(host, port, timeout=_PATIENCE_S, context=_context(bundle))
    began = time.time()
    try:
        connection.request("GET", "/health")
        said = connection.getresponse().getheader("Date", "")
        theirs = parsedate_to_datetime(said).timestamp()
    except (OSError, HTTPException, ValueError):
        return Finding(
            "warning", "The coordinator does not say what time it is there.", "Compare the clocks."
        )
    finally:
        connection.close()
    return clocks(theirs - (began + time.time()) / 2)


def clocks(ahead_s: float) -> Finding:
    """Judge how far the coordinator's clock is ahead of this one, in seconds."""
    apart = abs(ahead_s)
    if apart <= _CLOSE_S:
        return ok("This machine's clock and the coordinator's agree.")
    said = f"This machine's clock is {duration(apart)} {'behind' if ahead_s > 0 else 'before'} the coordinator's."
    return Finding(
        "problem" if apart > _TOO_FAR_S else "warning",
        said,
        f"Set it right (NTP): a site is let in up to {duration(SIGNATURE_S)}.",
    )


def data(bundle: Bundle) -> Finding:
    """Look whether the site's file can be read."""
    settings = bundle.settings
    if settings.data is None:
        return Finding(
            "warning",
            "site.yaml names no data.",
            "Give it to `shepherd site` with --data FILE, or write it there.",
        )
    found = read_instructions(settings.data, dict(settings.columns) or None)
    return ok(f"{whole(len(found))} examples in {settings.data}.")


def base_there(bundle: Bundle, name: str) -> Finding:
    """Look whether an allowed base model can be had, without loading it."""
    source_of(name)
    said = bundle.settings.limits.base_models[name]
    allowed = "whatever its weights" if said == "any" else f"with the fingerprint {said[:12]}…"
    return ok(f"The base model '{name}' is allowed, {allowed}, and can be had.")


def base_same(bundle: Bundle, name: str) -> Finding:
    """Load an allowed base model, and compare its fingerprint with the one allowed."""
    allowed, found = bundle.settings.limits.base_models[name], _fingerprint(name)
    # A coreset's proxy is held without its head, and has another fingerprint.
    if allowed in ("any", found) or allowed == load_proxy(name).fingerprint:
        return ok(f"The base model '{name}' is as allowed ({found[:12]}…).")
    return Finding(
        "problem",
        f"The base model '{name}' has the fingerprint {found} here, and {allowed[:12]}… is allowed.",
        "Give this site the files that the coordinator has, or change limits.base_models; another model.dtype has "
        "another fingerprint.",
    )


def no_bases(bundle: Bundle) -> Finding:
    """Say that no run can be accepted."""
    return Finding(
        "warning",
        "No base model is allowed yet, so every run is refused.",
        "Name one in limits.base_models of site.yaml.",
    )


#: Without its files whole, a bundle has nothing to ask the coordinator with.
_FIRST: tuple[tuple[Check[Bundle], ...], ...] = (
    (whole_bundle, authority, reachable, trusted, clock),
    (proxy,),
    (data,),
)


def bundle_checks(bundle: Bundle, load: bool) -> Iterator[tuple[Check[Bundle], ...]]:
    """Yield the checks of a bundle; with `load` the base models that it allows are loaded, too.

    Raises
    ------
    ShepherdError
        If site.yaml cannot be read.
    """
    yield from _FIRST
    each: tuple[Callable[..., Finding], ...] = (base_there, base_same) if load else (base_there,)
    names = list(bundle.settings.limits.base_models)
    if not names:
        yield (no_bases,)
    for name in names:
        yield tuple(partial(check, name=name) for check in each)


def _fingerprint(name: str) -> str:
    try:
        return load_base(BaseModelConfig(base=name)).fingerprint
    except ShepherdError:
        return load_proxy(name).fingerprint


def _place(bundle: Bundle) -> tuple[str, int]:
    parts = urlsplit(f"//{bundle.settings.address}")
    assert parts.hostname is not None  # site.yaml was checked
    assert parts.port is not None
    return parts.hostname, parts.port


def _context(bundle: Bundle) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(bundle.authority))
