"""Certificates of a federation's coordinator, and the keys its sites are known by.

The federation has an authority of its own, which signs the coordinator's certificate and nothing else: a site that
holds the authority's certificate knows that it talks to its coordinator. A site is known by its key.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from shepherd.errors import ShepherdError

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ImportError as error:
    raise ShepherdError(
        "A federation's keys and certificates need the cryptography package; "
        "install it with: pip install 'fedshepherd[flower]'"
    ) from error

AUTHORITY_LIFE, SERVER_LIFE = timedelta(days=3650), timedelta(days=730)
#: Certificates are valid from yesterday, so that a site whose clock is behind can connect.
_CLOCKS_DIFFER = timedelta(days=1)
_PEM, _NO_PASSPHRASE = serialization.Encoding.PEM, serialization.NoEncryption()


@dataclass(frozen=True)
class Authority:
    """A federation's own certificate authority."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def new(cls, name: str) -> Authority:
        """Make one, valid for ten years, with a fresh key on the curve P-256.

        Parameters
        ----------
        name : str
            Its common name, at most 64 characters.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        unsigned = (
            _begun(own, own, key.public_key(), datetime.now(UTC) + AUTHORITY_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
        )
        return cls(unsigned.sign(key, hashes.SHA256()), key)

    @classmethod
    def read(cls, certificate: Path, key: Path) -> Authority:
        """Read one back.

        Raises
        ------
        ShepherdError
            If a file is missing or damaged, or the two do not belong together.
        """
        found = cls(_certificate(certificate), _private_key(key))
        if found.certificate.public_key() != found.key.public_key():
            raise ShepherdError(f"{key} is not the key of {certificate}; restore both from one backup.")
        return found

    @property
    def certificate_pem(self) -> bytes:
        """The certificate, which everybody may see."""
        return self.certificate.public_bytes(_PEM)

    @property
    def key_pem(self) -> bytes:
        """The key, which nobody else may see."""
        return _private_pem(self.key)

    def issue(self, names: Sequence[str], key: bytes) -> bytes:
        """Return a server's certificate, in PEM.

        It is valid for two years, but not for longer than the authority's own.

        Parameters
        ----------
        names : sequence of str
            DNS names and IP addresses that the server is reached by; the first is its common name.
        key : bytes
            The server's private key, in PEM.

        Raises
        ------
        ShepherdError
            If the authority's own certificate has ended.
        """
        ends = self.certificate.not_valid_after_utc
        if ends <= datetime.now(UTC):
            raise ShepherdError(
                f"The federation's own certificate ended on {ends:%Y-%m-%d}; make a new federation, "
                "and hand its sites new bundles."
            )
        public = serialization.load_pem_private_key(key, None).public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        # A common name has 64 characters at most; who checks reads the alternative names.
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
        signer = self.key.public_key()
        return (
            _begun(subject, self.certificate.subject, public, min(ends, datetime.now(UTC) + SERVER_LIFE))
            .add_extension(
                x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
            .sign(self.key, hashes.SHA256())
            .public_bytes(_PEM)
        )


@dataclass(frozen=True)
class Identity:
    """What a site is known by: an OpenSSH key pair on the curve P-384, without a passphrase.

    Attributes
    ----------
    private : bytes
        For the site alone.
    public : bytes
        For the coordinator; one line.
    """

    private: bytes
    public: bytes


@dataclass(frozen=True)
class CertificateFacts:
    """What a certificate says.

    Attributes
    ----------
    subject : str
        Its common name.
    names : tuple of str
        DNS names and IP addresses it is valid for; none for an authority's.
    begins, ends : datetime
        From when until when it is valid, in UTC.
    """

    subject: str
    names: tuple[str, ...]
    begins: datetime
    ends: datetime

    def days_left(self, now: datetime) -> int:
        """Return for how many more whole days it is valid; negative once it has ended."""
        return (self.ends - now).days

    def fault(self, now: datetime, names: Sequence[str] = ()) -> str:
        """Return why nobody would trust it, as words after what it is: it ended, or is not for one of `names`."""
        if self.ends <= now:
            return f"ended on {self.ends:%Y-%m-%d}"
        missing = [name for name in names if name not in self.names]
        return f"is not for {', '.join(missing)}" if missing else ""


def new_server_key() -> bytes:
    """Return a fresh private key on the curve P-256, in PEM, for a server's certificate."""
    return _private_pem(ec.generate_private_key(ec.SECP256R1()))


def new_identity() -> Identity:
    """Return a fresh key pair for a site. Flower takes elliptic curves only."""
    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(_PEM, serialization.PrivateFormat.OpenSSH, _NO_PASSPHRASE)
    return Identity(private, _openssh(key.public_key()))


def public_of(private: Path) -> bytes:
    """Return the public half of a site's private key, as one line of OpenSSH.

    Raises
    ------
    ShepherdError
        If the file holds no key that `new_identity` could have made.
    """
    try:
        key = serialization.load_ssh_private_key(_content(private), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ShepherdError(
            f"{private} is no OpenSSH private key without a passphrase; ask the coordinator for a new bundle."
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP384R1):
        raise ShepherdError(f"{private} is no key on the curve P-384; ask the coordinator for a new bundle.")
    return _openssh(key.public_key())


def key_fingerprint(public: bytes) -> str:
    """Return the fingerprint of an OpenSSH public key, as ``ssh-keygen -lf`` prints it.

    Raises
    ------
    ShepherdError
        If it is none.
    """
    try:
        serialization.load_ssh_public_key(public)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ShepherdError("A site's public key is damaged; remove the site and add it again.") from error
    digest = hashlib.sha256(base64.b64decode(public.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def read_certificate(path: Path) -> CertificateFacts:
    """Read what a certificate says.

    Raises
    ------
    ShepherdError
        If the file is missing or holds no certificate.
    """
    found = _certificate(path)
    try:
        alternatives = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = []
    else:
        names = alternatives.get_values_for_type(x509.DNSName)
        names += map(str, alternatives.get_values_for_type(x509.IPAddress))
    common = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    subject = str(common[0].value) if common else ""
    return CertificateFacts(subject, tuple(names), found.not_valid_before_utc, found.not_valid_after_utc)


def is_signed_by(certificate: Path, authority: Path) -> bool:
    """Say whether an authority signed a certificate; whether they are still valid is not looked at."""
    try:
        _certificate(certificate).verify_directly_issued_by(_certificate(authority))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, ends: datetime
) -> x509.CertificateBuilder:
    """Begin a certificate with what every one has."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - _CLOCKS_DIFFER)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, _NO_PASSPHRASE)


def _openssh(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH) + b"\n"


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ShepherdError(f"Cannot read {path}: {error.strerror}; restore it.") from error


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(_content(path))
    except ValueError as error:
        raise ShepherdError(f"{path} holds no certificate; restore it.") from error


def _private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(_content(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ShepherdError(f"{path} holds no private key; restore it.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ShepherdError(f"{path} holds no key on an elliptic curve; restore it.")
    return key
