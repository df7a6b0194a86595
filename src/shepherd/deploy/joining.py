"""Who takes part in a run: every site that introduces itself in time, and fits.

The list is fixed when the run begins and kept in the run directory, since a client's number is the address of its
randomness. On resuming, the same sites are waited for, with the same data.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from shepherd.deploy.drawn import are_alike
from shepherd.deploy.exchange import Link, Lost, Patience, gather
from shepherd.deploy.messages import Introduction, Told
from shepherd.deploy.refusal import Refused, printable
from shepherd.deploy.shared import layout_digest
from shepherd.deploy.wire import Envelope, declared
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
    refused : mapping of str to str
        Those of them that no longer fit and are left out until the coordinator is started again, and why; this is not
        kept on disk.
    """

    run: str
    sites: dict[str, Introduction]
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The sites' names, by client number."""
        return list(self.sites)

    @property
    def sizes(self) -> list[int]:
        """How many examples each trains on."""
        return [site.examples for site in self.sites.values()]

    @property
    def categories(self) -> list[Mapping[str, int]]:
        """How many examples of each category each has; empty where they were not asked."""
        return [site.categories for site in self.sites.values()]

    def write(self, folder: Path) -> None:
        """Keep it in the run directory."""
        sites = {name: asdict(said) for name, said in self.sites.items()}
        write_json(folder / FILE, {"run": self.run, "sites": sites})

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


@dataclass(frozen=True)
class Expected:
    """What a site is held against when it joins.

    Attributes
    ----------
    model : AdaptedModel
        The coordinator's own base with the adapter: the sites' must be the same.
    drawn : sequence of float
        What the coordinator drew itself, as `shepherd.deploy.drawn.drawn_values` says it: so must every site have.
    categories : bool
        Whether sites are to say how many examples of each category they have.
    """

    model: AdaptedModel
    drawn: Sequence[float]
    categories: bool = False

    def introduction(self, answer: Envelope, before: Introduction | None) -> Introduction:
        """Return what a site says of itself, if it fits; `before` is what it said when the run began."""
        said = declared(Introduction, answer.body)
        own = versions()
        if said.versions.get("shepherd") != own["shepherd"]:
            raise Refused(
                f"it has fedshepherd {_version(said, 'shepherd')}, and the coordinator {own['shepherd']}"
            )
        if said.base != self.model.base.fingerprint:
            raise Refused("its base model has other weights than the coordinator's")
        if said.layout != layout_digest(self.model.layout):
            raise Refused(
                "its adapter has other tensors than the coordinator's; compare the releases of peft"
            )
        if not are_alike(self.drawn, said.drawn):
            raise Refused(
                "it draws other random values from the run's seed than the coordinator, and the run never sends those; "
                f"install the same versions of torch and peft on both (it has {_version(said, 'torch')} and "
                f"{_version(said, 'peft')}, the coordinator {own['torch']} and {own['peft']}) and, for "
                "adapter.name=kseed, use the same kind of device"
            )
        if said.examples == 0:
            raise Refused("it has no examples to train on")
        if before is not None and said.data != before.data:
            raise Refused(
                "its data is not what it was when the run began; give it the same file, or begin the run anew"
            )
        counts = said.categories.values()
        wrong = (0 in counts or sum(counts) != said.examples) if self.categories else len(counts) > 0
        if wrong:
            raise Refused("it says of its categories what is not so, or was not asked")
        return said


def join(
    link: Link,
    names: Sequence[str],
    config: Tree,
    expected: Expected,
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
    expected : Expected
        What sites are held against.
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
    everybody = begun.names if begun else names
    told = Told(config=config, sites=len(everybody), client=0, asks_categories=expected.categories)
    questions = {name: Envelope("hello", run, body=told.to_tree()) for name in everybody if name in names}
    found: dict[str, Introduction] = {}
    refused: dict[str, str] = {}
    for name, answer in gather(link, questions, patience):
        if isinstance(answer, Lost):
            _warn(name, answer.reason, keeps_place=begun is not None)
            continue
        try:
            found[name] = expected.introduction(answer, begun.sites[name] if begun else None)
        except Refused as error:
            refused[name] = str(error)
            _warn(name, refused[name])
    if len(found) < min(minimum, len(everybody) if begun else minimum):
        missing = ", ".join(name for name in everybody if name not in found) or "none"
        raise ShepherdError(
            f"Only {len(found)} of {len(everybody)} sites joined, and minimum_sites in federation.yaml is {minimum} "
            f"(missing: {missing}; the lines above say why). Start the coordinator again when they can be reached."
        )
    if begun:
        # Sites that are late on resuming keep their place; they are waited for in every round that wants them.
        return replace(begun, refused=refused)
    return Membership(run, {name: found[name] for name in names if name in found})


def _warn(name: str, reason: str, keeps_place: bool = False) -> None:
    what = "has not joined, and is asked in the rounds all the same" if keeps_place else "does not take part"
    log.warning("Site '%s' %s: %s.", name, what, reason.rstrip("."))


def _version(said: Introduction, of: str) -> str:
    return printable(said.versions.get(of, "?"))[:20]
