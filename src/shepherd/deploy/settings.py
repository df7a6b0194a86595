"""What a federation's and a site's folder say of them: ``federation.yaml`` and ``site.yaml``."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, TypeVar

import yaml
from pydantic import AfterValidator, Field

from shepherd.errors import ShepherdError
from shepherd.settings import Settings, checked

SITE_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}")
_LABEL = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_DNS_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")


def _ip(value: str) -> str | None:
    """Return an IP address in its usual form, or None."""
    try:
        return None if "%" in value else str(ip_address(value))
    except ValueError:
        return None


def _place(value: str) -> str:
    """Check a DNS name or IP address that somebody is to connect to."""
    address = _ip(value)
    if address in ("0.0.0.0", "::"):
        raise ValueError(f"nobody can connect to {address}; give the machine's name or address")
    # Whatever ends in a number is meant to be an IP address.
    if address is None and (not _DNS_NAME.fullmatch(value) or value.rpartition(".")[2].isdigit()):
        raise ValueError("this is neither a DNS name nor an IP address; give a name like fl.example.org")
    return address or value


def _listening_place(value: str) -> str:
    address = _ip(value)
    if address is None:
        raise ValueError("this is no IP address; 0.0.0.0 listens at all of the machine's")
    return address


def _address(value: str) -> str:
    host, _, port = value.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("this is no host:port; give an address like fl.example.org:8443")
    return joined_address(_place(bare), int(port))


def _any_or_fingerprint(value: str) -> str:
    if value != "any" and not re.fullmatch("[0-9a-f]{64}", value):
        raise ValueError("this is no fingerprint; write its 64 hexadecimal digits, or any")
    return value


def joined_address(host: str, port: int) -> str:
    """Return ``host:port``, with the brackets that an IPv6 address needs."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


Place = Annotated[str, AfterValidator(_place)]
#: A name of people's choosing: one line, short enough for a certificate.
_Title = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
_FederationId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
_AllowedBase = Annotated[str, AfterValidator(_any_or_fingerprint)]


class FederationSettings(Settings):
    """What the coordinator's folder says of its federation.

    Attributes
    ----------
    federation : str
        16 random hexadecimal digits, which tell federations apart.
    name : str
        What people call it.
    host : str
        The DNS name or IP address that sites connect to.
    port : int
        The TCP port there.
    bind : str
        The IP address the coordinator listens at; 0.0.0.0 is all of its machine's.
    names : list of str
        Further DNS names and IP addresses in its certificate.
    join_timeout_s : float
        How long the coordinator waits for sites at the start, in seconds.
    round_timeout_s : float
        How long a site may take over one message, in seconds.
    attempts : int
        How often a job is sent to a site whose reply was lost.
    minimum_sites : int
        Fewest sites a run begins with; of as many sites' owners allow it unless told.
    minimum_updates : int
        Fewest updates that make a round; a participation that asks for fewer is refused.
    enough_share : float
        Share of its cohort, in (0, 1], whose updates end a round; below 1, the slowest sites are not waited for.
    largest_message_mb : float
        Longest message that is read, in megabytes of 1,000,000 bytes.
    """

    federation: _FederationId
    name: _Title
    host: Place
    port: int = Field(8443, ge=1, le=65535)
    bind: Annotated[str, AfterValidator(_listening_place)] = "0.0.0.0"
    names: list[Place] = []
    join_timeout_s: float = Field(600, gt=0)
    round_timeout_s: float = Field(3600, gt=0)
    attempts: int = Field(6, ge=1)
    minimum_sites: int = Field(3, ge=1)
    minimum_updates: int = Field(2, ge=1)
    enough_share: float = Field(1.0, gt=0, le=1)
    largest_message_mb: float = Field(1024, gt=0)

    @property
    def address(self) -> str:
        """Where sites connect to, as ``host:port``."""
        return joined_address(self.host, self.port)

    @property
    def certificate_names(self) -> list[str]:
        """Every name the coordinator may be reached by, its own machine's included, each once."""
        here = [] if self.bind in ("0.0.0.0", "::") else [self.bind]
        return list(dict.fromkeys([self.host, *self.names, *here, "localhost", "127.0.0.1", "::1"]))


class Limits(Settings):
    """What a site's owner allows; a run that asks for more is refused before anything is read.

    Code that comes over the network is never run, whatever is set here.

    Attributes
    ----------
    base_models : mapping of str to str
        The base models that may be loaded, proxies of coresets included: a name as in a config, and the base's
        fingerprint (64 hexadecimal digits) or ``any``. Empty, none may.
    largest_model : int
        Most parameters of a base model.
    adapter_kinds : list of str
        The kinds of adapter that may be trained. ``full`` and ``bitfit`` train the base's own weights, ``kseed`` moves
        them along random directions.
    largest_rank : int
        Highest rank of a LoRA, DoRA or LoRA-SB adapter.
    largest_adapter_mb : float
        Largest adapter, in megabytes of 1,000,000 bytes as it travels.
    most_local_epochs : float
        Most passes over the examples a round trains on.
    most_rounds : int
        Most rounds of a run.
    most_tokens : int
        Longest example, in tokens.
    largest_share : float
        Largest share of the site's examples, in (0, 1], that one round may train on.
    fewest_sites : int
        Fewest sites that take part in a run: of few, a new adapter tells what each sent.
    categories_told : bool
        Whether a run that asks for it is told how many examples of each category the site has, by name.
    clipping_required : bool
        Whether a run must have a transform that clips updates.
    privacy_required : bool
        Whether a run must have transforms that clip and add noise, and noise on whatever else tells of examples.
    """

    base_models: dict[str, _AllowedBase] = {}
    largest_model: int = Field(10_000_000_000, gt=0)
    adapter_kinds: Annotated[list[str], Field(min_length=1)] = ["lora"]
    largest_rank: int = Field(64, gt=0)
    largest_adapter_mb: float = Field(512, gt=0)
    most_local_epochs: float = Field(10, gt=0)
    most_rounds: int = Field(1000, gt=0)
    most_tokens: int = Field(4096, gt=0)
    largest_share: float = Field(1.0, gt=0, le=1)
    fewest_sites: int = Field(3, ge=1)
    categories_told: bool = False
    clipping_required: bool = False
    privacy_required: bool = False


class SiteSettings(Settings):
    """What a site's bundle says of it.

    Attributes
    ----------
    federation : str
        The federation's 16 hexadecimal digits.
    federation_name : str
        What people call it.
    site : str
        The site's name in it.
    address : str
        The coordinator's ``host:port``.
    data : str, optional
        The site's file of instructions, so that it need not be given at every start.
    columns : mapping of str to str
        Which of the file's columns is the ``instruction``, ``response``, ``context``, ``category``, ``rejected``;
        the usual layouts are recognised without it.
    threads : int, optional
        CPU threads; torch's own choice unless told.
    limits : Limits
        What the site's owner allows.
    """

    federation: _FederationId
    federation_name: _Title
    site: str = Field(pattern=f"^{SITE_NAME.pattern}$")
    address: Annotated[str, AfterValidator(_address)]
    data: str | None = Field(None, min_length=1)
    columns: dict[str, str] = {}
    threads: int | None = Field(None, gt=0)
    limits: Limits = Limits()


_Kind = TypeVar("_Kind", bound=Settings)


def read_settings(kind: type[_Kind], path: Path) -> _Kind:
    """Read settings from a YAML file.

    Raises
    ------
    ShepherdError
        If the file cannot be read, or naming the first mistake in it.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ShepherdError(f"Cannot read {path}: {error.strerror or error}; restore it.") from error
    except UnicodeDecodeError as error:
        raise ShepherdError(f"Cannot read {path}: it is not UTF-8 text; restore it.") from error
    except yaml.YAMLError as error:
        raise ShepherdError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(values, dict):
        raise ShepherdError(f"{path} must hold keys and values; restore it.")
    return checked(kind, values, str(path))
