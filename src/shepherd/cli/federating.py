"""`shepherd federation`: a federation of sites, its bundles, how it stands; nothing here opens a connection."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shepherd.cli import terminal
from shepherd.cli.terminal import say

if TYPE_CHECKING:
    from shepherd.deploy.settings import Limits
    from shepherd.deploy.watch import Now

federation = typer.Typer(help="Make and keep a federation of sites.", no_args_is_help=True)
terminal.app.add_typer(federation, name="federation")

FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The coordinator's folder.")]
SiteArgument = Annotated[str, typer.Argument(metavar="NAME", help="The site's name.")]
ProposalOption = Annotated[
    str | None,
    typer.Option(
        metavar="CONFIG",
        help="A preset's name or a YAML file: what it needs is written into the sites' limits, for review.",
    ),
]


@federation.command()
def init(
    folder: FolderArgument,
    host: Annotated[str, typer.Option(help="The DNS name or IP address that sites connect to.")],
    port: Annotated[int, typer.Option(help="The TCP port there.")] = 8443,
    name: Annotated[
        str | None, typer.Option(help="What people call the federation; as the folder unless told.")
    ] = None,
    site: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A site to make a bundle for; repeatable.")
    ] = None,
    config: ProposalOption = None,
) -> None:
    """Make a federation: certificates of its own, a key for every site, and a bundle to hand to each."""
    from shepherd.deploy.folder import FederationFolder, check_names
    from shepherd.deploy.settings import FederationSettings
    from shepherd.settings import checked

    values = {
        "federation": secrets.token_hex(8),
        "name": folder.resolve().name if name is None else name,
        "host": host,
        "port": port,
    }
    settings = checked(FederationSettings, values, "There cannot be such a federation")
    names = site or []
    check_names(names)
    made = FederationFolder(folder)
    made.refuse_taken()  # before a model is loaded
    limits = _proposed(config)
    made.init(settings)
    say(f"{folder} is the federation '{settings.name}', at {settings.address}. Keep it to yourself.")
    for one in names:
        _say_handover(made.add_site(one, limits), one)
    _say_unreviewed(limits)
    if not names:
        say(f"Add its sites: shepherd federation add-site {folder} NAME")
    say(f"When the bundles are handed over: shepherd coordinator {folder} {config or 'CONFIG'}")


@federation.command("add-site")
def add_site(folder: FolderArgument, name: SiteArgument, config: ProposalOption = None) -> None:
    """Make a key and a bundle for one more site."""
    from shepherd.deploy.folder import FederationFolder, check_names

    made = FederationFolder(folder)
    made.settings  # noqa: B018, refuses a folder that is no federation before a model is loaded
    check_names([name], made.sites())
    limits = _proposed(config)
    _say_handover(made.add_site(name, limits), name)
    _say_unreviewed(limits)
    say(
        "A coordinator that is running lets the site in within ten seconds; it takes part from the next run on."
    )


@federation.command("remove-site")
def remove_site(folder: FolderArgument, name: SiteArgument) -> None:
    """Take a site off the list: its key is no longer let in."""
    from shepherd.deploy.folder import FederationFolder

    FederationFolder(folder).remove_site(name)
    say(f"Site '{name}' is removed; its key is in {folder / 'removed'}.")
    say("A coordinator that is running puts the site out within ten seconds.")


@federation.command()
def renew(folder: FolderArgument) -> None:
    """Issue the coordinator's certificate anew: for two years, and for the names in federation.yaml."""
    from shepherd.deploy.certificates import read_certificate
    from shepherd.deploy.folder import FederationFolder

    made = FederationFolder(folder)
    made.renew_certificate()
    facts = read_certificate(made.certificate)
    say(f"The certificate is valid until {facts.ends:%Y-%m-%d}, for {', '.join(facts.names)}.")
    say("Bundles stay as they are. A coordinator that is running shows it when it is started again.")


@federation.command("list")
def list_sites(folder: FolderArgument) -> None:
    """List the sites, with the fingerprints of their keys."""
    from rich.table import Table

    from shepherd.deploy.folder import FederationFolder

    made = FederationFolder(folder)
    table = Table(title=f"Federation {made.settings.name}, at {made.settings.address}")
    for column in ("site", "key", "since"):
        table.add_column(column, overflow="fold")
    for one in made.registered():
        table.add_row(one.name, one.fingerprint, f"{one.since:%Y-%m-%d}")
    terminal.out.print(table)


@federation.command()
def status(folder: FolderArgument) -> None:
    """Say how the run stands that a coordinator has under way."""
    from shepherd.deploy.coordinating import is_running, status_file
    from shepherd.deploy.folder import FederationFolder
    from shepherd.deploy.page import sites_table
    from shepherd.deploy.watch import now_of, read_status

    made = FederationFolder(folder)
    name, running = made.settings.name, is_running(made)
    said = read_status(status_file(made))
    if said is None:
        what = (
            "has nothing to say yet"
            if running
            else f"does not run; start it: shepherd coordinator {folder} CONFIG"
        )
        say(f"The coordinator of '{name}' {what}.")
        return
    now = now_of(said, status_file(made))
    if not running:
        say(f"The coordinator of '{name}' does not run; this is how its run stood when it ended:")
    for sentence in _standing(now):
        say(sentence)
    terminal.out.print(sites_table(now.sites))


def _standing(now: Now) -> list[str]:
    """Say how a run stands."""
    from shepherd.units import duration, fixed

    took = f" The last round took {duration(now.round_seconds)}." if now.round_seconds else ""
    loss = "" if now.loss is None else f" Held-out loss: {fixed(now.loss)}."
    return [
        f"Run '{now.run}': {now.round} of {now.rounds} rounds are committed.{loss}{took}",
        f"As of {duration(max(0.0, time.time() - now.written))} ago.",
    ]


def _proposed(config: str | None) -> Limits:
    """Return the limits that sites are to begin with."""
    from shepherd.deploy.settings import Limits

    if config is None:
        return Limits()
    from shepherd.config import load_config
    from shepherd.deploy.proposed_limits import proposed_limits

    return proposed_limits(load_config(config))


def _say_handover(bundle: Path, name: str) -> None:
    say(f"Hand {bundle} to site '{name}', then delete it here: whoever has it takes part in the site's name.")


def _say_unreviewed(limits: Limits) -> None:
    if limits.base_models:
        say("Each site's owner reviews the limits in its site.yaml.")
    else:
        say(
            "No base model is allowed yet: owners name one in limits.base_models of site.yaml, or use --config."
        )
