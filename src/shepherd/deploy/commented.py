"""``federation.yaml``, ``site.yaml`` and a bundle's README, with a comment for whoever opens them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from shepherd.deploy.settings import FederationSettings, Limits, SiteSettings
from shepherd.settings import Settings

_FEDERATION = {
    "federation": "tells federations apart; never change it",
    "name": "what people call it",
    "host": "the DNS name or IP address that sites connect to",
    "port": "the TCP port there; the firewall must let it in",
    "bind": "the IP address to listen at; 0.0.0.0 is all of this machine's",
    "names": "further DNS names and IP addresses of this machine; then run `shepherd federation renew`",
    "join_timeout_s": "how long to wait for sites at the start, in seconds",
    "round_timeout_s": "how long a site may take over one message, in seconds",
    "attempts": "how often a job is sent to a site whose reply was lost",
    "minimum_sites": "fewest sites that a run begins with",
    "minimum_updates": "fewest updates that make a round; a run whose participation asks for fewer is refused",
    "enough_share": "a round ends when this share of its sites has answered; 1.0 waits for all",
    "largest_message_mb": "longest message that is read, in MB",
}
_SITE = {
    "federation": "tells federations apart; never change it",
    "federation_name": "what people call the federation",
    "site": "this site's name in it",
    "address": "where the coordinator is: host:port",
    "data": "your file of instructions, so that --data need not be given at every start",
    "columns": "which column is the instruction, response, context, category, rejected; needed for unusual files only",
    "threads": "CPU threads to use; empty, torch chooses",
    "limits": "what you allow; a run that asks for more is refused before it reads anything",
}
_LIMITS = {
    "base_models": "the base models that may be loaded, by name: a fingerprint, or any; empty, none may.\n"
    "A fingerprint is of one model.dtype: the same files held in another have another",
    "largest_model": "most parameters of a base model",
    "adapter_kinds": "kinds of adapter that may be trained; full, bitfit and kseed change the base's own weights",
    "largest_rank": "highest rank of an adapter",
    "largest_adapter_mb": "largest adapter, in MB",
    "most_local_epochs": "most passes over the examples a round trains on",
    "most_rounds": "most rounds of a run",
    "most_tokens": "longest example, in tokens",
    "largest_share": "largest share of your examples that one round may train on; 1.0 is all",
    "fewest_sites": "fewest sites in a run, yours included: of few, a new adapter tells what each sent",
    "categories_told": "true: a run that asks is told how many examples of each category you have",
    "clipping_required": "true: only runs that clip updates",
    "privacy_required": "true: only runs that clip updates and add noise (none can in this release)",
}
COMMENTS: dict[type[Settings], Mapping[str, str]] = {
    FederationSettings: _FEDERATION,
    SiteSettings: _SITE,
    Limits: _LIMITS,
}


def commented(settings: Settings, heading: str) -> str:
    """Return settings as YAML: a heading, and above every key a comment that says what it is."""
    return f"# {heading}\n\n" + "\n".join(_lines(settings, ""))


def bundle_readme(settings: SiteSettings) -> str:
    """Return what a bundle says of itself, to somebody who has never seen one."""
    return "\n".join(
        (
            f"This folder makes a machine the site '{settings.site}' of the federation '{settings.federation_name}'.",
            "Move it there by a safe way, don't copy it: whoever has site.key takes part in the site's name.",
            "On that machine: pip install 'fedshepherd[flower]'",
            "Read site.yaml: its limits are yours to set, and no run gets past them.",
            f"Then: shepherd site FOLDER --data FILE (it connects to {settings.address}; nothing connects to you).",
            "",
        )
    )


def _lines(settings: Settings, indent: str) -> list[str]:
    lines = []
    for key, comment in COMMENTS[type(settings)].items():
        lines += [f"{indent}# {line}" for line in comment.splitlines()]
        value = getattr(settings, key)
        if isinstance(value, Settings):
            lines += [f"{indent}{key}:", *_lines(value, indent + "  ")]
        else:
            lines += [f"{indent}{line}" for line in _plain({key: value}).splitlines()]
    return lines if indent else [*lines, ""]


def _plain(value: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(value), allow_unicode=True, sort_keys=False, width=10**6)
