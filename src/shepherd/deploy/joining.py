"""Who takes part in a run: every site that introduces itself in time, and fits.

The list is fixed when the run begins and kept in the run directory, since a client's number is the address of its
randomness. On resuming, the same sites are waited for, with the same data.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shepherd.deploy.exchange import Link, Lost, Patience, gather
from shepherd.deploy.messages import Introduction, Told
from shepherd.deploy.refusal import Refused
from shepherd.deploy.shared import layout_digest
from shepherd.deploy.wire import Envelope, declared, printable
from shepherd.errors import ShepherdError
from shepherd.files import write_json
from shepherd.machine import versions
from shepherd.model.adapted import AdaptedModel
from shepherd.tree import Tree

log = logging.getLogger(__name__)
FILE = "federation.json"


@dataclass(frozen=True)
class Membership:
    """The sites of a run.

    Attributes
    ----------
    run : str
        The run's id: the same when it is resumed.
    sites : mapping of str to Introduction
        What each said of itself when the run began, in the order of their numbers.
    """

    run: str
    sites: dict[str, Introduction]

    @property
    def names(self) -> list[str]:
        """The sites' names, by client number."""
        return list(self.sites)

    @property
    def sizes(self) -> list[int]:
        """How many examples each trains on."""
        return [site.examples for site in self.sites.values()]

    def write(self, folder: Path) -> None:
        """Keep it in the run directory."""
        write_json(folder / FILE, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Membership | None:
        """Return what a run directory holds, or None for a run that has not begun.

        Raises
        ------
        ShepherdError
            If the file is damaged.
        """
        path = folder / FILE
        if not path.exists():
            return None
        try:
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            sites = {name: declared(Introduction, said) for name, said in values["sites"].items()}
            return cls(str(values["run"]), sites)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, Refused) as error:
            raise ShepherdError(
                f"{path} is damaged and cannot be read; restore it, or begin the run anew."
            ) from error


def new_run() -> str:
    """Return a run id."""
    return secrets.token_hex(8)


def join(
    link: Link,
    names: Sequence[str],
    config: Tree,
    model: AdaptedModel,
    patience: Patience,
    begun: Membership | None,
    minimum: int,
) -> Membership:
    """Wait for the sites and hear what they say of themselves.

    Parameters
    ----------
    link : Link
        Carries the messages.
    names : sequence of str
        Every site of the federation.
    config : Tree
        What sites are told of the config.
    model : AdaptedModel
        The coordinator's own base with the adapter: the sites' must be the same.
    patience : Patience
        How long to wait.
    begun : Membership, optional
        The sites of a run that is resumed; others are not asked.
    minimum : int
        Fewest sites a run begins with.

    Raises
    ------
    ShepherdError
        If too few are there, naming those that are missing and why.
    """
    run = begun.run if begun else new_run()
    asked = [name for name in (begun.names if begun else names) if name in names]
    told = Told(config=config, sites=len(begun.names if begun else names), client=0)
    questions = {name: Envelope("hello", run, body=told.to_tree()) for name in asked}
    found: dict[str, Introduction] = {}
    for name, answer in gather(link, questions, patience):
        try:
            found[name] = _introduction(answer, model, begun.sites[name] if begun else None)
        except Refused as error:
            log.warning("Site '%s' does not take part: %s.", name, str(error).rstrip("."))
    if len(found) < min(minimum, len(begun.names) if begun else minimum):
        missing = ", ".join(name for name in asked if name not in found) or "none"
        raise ShepherdError(
            f"Only {len(found)} of {len(asked)} sites joined, and minimum_sites in federation.yaml is {minimum} "
            f"(missing: {missing}; the lines above say why). Start the coordinator again when they can be reached."
        )
    # Sites that are late on resuming keep their place; they are waited for in every round that wants them.
    return begun or Membership(run, {name: found[name] for name in names if name in found})


def _introduction(answer: Envelope | Lost, model: AdaptedModel, before: Introduction | None) -> Introduction:
    """Check what a site says of itself."""
    if isinstance(answer, Lost):
        raise Refused(answer.reason)
    said = declared(Introduction, answer.body)
    own = versions()["shepherd"]
    if said.versions.get("shepherd") != own:
        theirs = printable(said.versions.get("shepherd", "?"))[:20]
        raise Refused(f"it has fedshepherd {theirs}, and the coordinator {own}")
    if said.base != model.base.fingerprint:
        raise Refused("its base model has other weights than the coordinator's")
    if said.layout != layout_digest(model.layout):
        raise Refused("its adapter has other tensors than the coordinator's; compare the releases of peft")
    if said.examples == 0:
        raise Refused("it has no examples to train on")
    if before is not None and said.data != before.data:
        raise Refused(
            "its data is not what it was when the run began; give it the same file, or begin the run anew"
        )
    return said
