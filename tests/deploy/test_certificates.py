"""Certificates and keys, held against OpenSSL's own handshake, `openssl` and `ssh-keygen`."""

from __future__ import annotations

import importlib
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shepherd.errors import ShepherdError

pytest.importorskip("cryptography")

from shepherd.deploy.certificates import (
    Authority,
    is_signed_by,
    key_fingerprint,
    new_identity,
    new_server_key,
    public_of,
    read_certificate,
)

NAMES = ["fl.example.org", "127.0.0.1", "::1"]


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """A folder with a server's certificate and key, its authority, and another authority."""
    authority, key = Authority.new("one"), new_server_key()
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    (tmp_path / "ca.key").write_bytes(authority.key_pem)
    (tmp_path / "server.pem").write_bytes(authority.issue(NAMES, key))
    (tmp_path / "server.key").write_bytes(key)
    # Of the same name: only its key tells it from the first.
    (tmp_path / "other.pem").write_bytes(Authority.new("one").certificate_pem)
    return tmp_path


def shake_hands(server: Path, authority: str, name: str) -> str | None:
    """Connect over TLS on the loopback; return the version agreed on."""
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(server / "server.pem", server / "server.key")
    ours = ssl.create_default_context(cafile=str(server / authority))
    ours.verify_flags |= ssl.VERIFY_X509_STRICT

    def accept(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        # Where it fails, the other side hung up, and says why.
        with connection, suppress(OSError):
            theirs.wrap_socket(connection, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listening = threading.Thread(target=accept, args=[listener])
        listening.start()
        try:
            with (
                socket.create_connection(listener.getsockname(), timeout=10) as plain,
                ours.wrap_socket(plain, server_hostname=name) as secured,
            ):
                return secured.version()
        finally:
            listening.join()


@pytest.mark.parametrize("name", NAMES)
def test_a_site_with_the_authority_connects_under_every_name(server: Path, name: str) -> None:
    assert shake_hands(server, "ca.pem", name) == "TLSv1.3"


@pytest.mark.parametrize(
    ("authority", "name"),
    [("other.pem", "fl.example.org"), ("ca.pem", "fl.example.com"), ("ca.pem", "127.0.0.2")],
)
def test_another_authority_or_name_is_refused(server: Path, authority: str, name: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server, authority, name)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl here")
def test_openssl_agrees(server: Path) -> None:
    def verifies(authority: str) -> bool:
        command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile"]
        return (
            subprocess.run([*command, authority, "server.pem"], cwd=server, capture_output=True).returncode
            == 0
        )

    assert verifies("ca.pem")
    assert not verifies("other.pem")


def test_what_a_certificate_says(server: Path) -> None:
    facts = read_certificate(server / "server.pem")
    assert facts.names == tuple(NAMES)
    assert (facts.subject, read_certificate(server / "ca.pem").names) == ("fl.example.org", ())
    assert facts.days_left(facts.ends - timedelta(days=3, hours=1)) == 3
    assert facts.days_left(facts.ends + timedelta(hours=1)) == -1
    assert is_signed_by(server / "server.pem", server / "ca.pem")
    assert not is_signed_by(server / "server.pem", server / "other.pem")


def test_an_authority_that_ended_issues_nothing(server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shepherd.deploy.certificates.AUTHORITY_LIFE", timedelta(seconds=-1))
    with pytest.raises(ShepherdError, match="own certificate ended on"):
        Authority.new("old").issue(NAMES, new_server_key())


def test_a_server_is_not_certified_for_longer_than_its_authority(
    server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shepherd.deploy.certificates.SERVER_LIFE", timedelta(days=9999))
    authority = Authority.read(server / "ca.pem", server / "ca.key")
    (server / "server.pem").write_bytes(authority.issue(NAMES, new_server_key()))
    assert read_certificate(server / "server.pem").ends == read_certificate(server / "ca.pem").ends


def test_a_sites_key_is_one_that_flower_takes(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key

    made = new_identity()
    private, public = load_ssh_private_key(made.private, None), load_ssh_public_key(made.public)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert private.public_key() == public
    assert public.curve.name == "secp384r1"
    (tmp_path / "site.key").write_bytes(made.private)
    assert public_of(tmp_path / "site.key") == made.public


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="there is no ssh-keygen here")
def test_fingerprints_are_those_of_ssh(tmp_path: Path) -> None:
    public = new_identity().public
    (tmp_path / "a.pub").write_bytes(public)
    said = subprocess.run(
        ["ssh-keygen", "-lf", tmp_path / "a.pub"], capture_output=True, text=True, check=True
    )
    assert said.stdout.split()[1] == key_fingerprint(public)


def test_damaged_files_are_named(server: Path) -> None:
    (server / "damaged").write_text("nothing")
    for read in (
        lambda path: read_certificate(path),
        lambda path: public_of(path),
        lambda path: Authority.read(path, server / "ca.key"),
        lambda path: Authority.read(server / "ca.pem", path),
    ):
        for name in ("damaged", "absent"):
            with pytest.raises(ShepherdError, match=name):
                read(server / name)
    with pytest.raises(ShepherdError, match="is not the key of"):
        Authority.read(server / "other.pem", server / "ca.key")
    with pytest.raises(ShepherdError, match="public key is damaged"):
        key_fingerprint(b"ssh-rsa nothing")


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    monkeypatch.delitem(sys.modules, "shepherd.deploy.certificates")
    with pytest.raises(ShepherdError, match=r"pip install 'fedshepherd\[flower\]'"):
        importlib.import_module("shepherd.deploy.certificates")
