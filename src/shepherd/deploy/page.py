"""The coordinator's page in the terminal: the run's bars and rows, and below them the sites."""

from __future__ import annotations

import contextlib
import threading
import time
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table

from shepherd.deploy.watch import SiteNow, Watch
from shepherd.errors import ShepherdError
from shepherd.progress import RunProgress
from shepherd.units import duration, size

_LOOK_S = 3.0


class FederationPage(RunProgress):
    """A run's progress, with a line for every site.

    Parameters
    ----------
    console : Console
        Where to draw.
    watch : Watch
        Knows the sites.
    """

    def __init__(self, console: Console, watch: Watch) -> None:
        self.watch = watch  # the first picture is taken at once
        super().__init__(console, watch.now.run)
        self._left = threading.Event()
        self._looking = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> FederationPage:
        self._looking.start()
        super().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        super().__exit__(kind, error, trace)

    def _look(self) -> None:
        """Look again and again who is connected: no event tells."""
        while not self._left.wait(_LOOK_S):
            with contextlib.suppress(ShepherdError):  # the run itself says so when the disk is full
                self.watch.look()
                self.watch.write()

    def _picture(self) -> Group:
        return Group(sites_table(self.watch.now.sites), "", super()._picture())


def sites_table(sites: dict[str, SiteNow]) -> Table:
    """Return the sites as a table: who is there, and what it is doing."""
    table = Table(box=None, pad_edge=False)
    for heading in ("site", "", "now", "rounds", "lost", "last took", "sent", "received"):
        table.add_column(heading, justify="left" if heading in ("site", "", "now") else "right")
    for name, site in list(sites.items()):  # a thread of its own changes them
        table.add_row(
            name,
            "[green]online[/green]" if site.online else "[red]away[/red]",
            escape(_doing(site)),  # a reason may be a site's own words
            str(site.rounds),
            str(site.losses) if site.losses else "",
            duration(site.seconds) if site.rounds else "",
            size(site.bytes_up) if site.bytes_up else "",
            size(site.bytes_down) if site.bytes_down else "",
        )
    return table


def _doing(site: SiteNow) -> str:
    since = duration(time.time() - site.since)
    words: dict[str, Any] = {
        "idle": "waits",
        "asked": f"works, {since}" if site.online else f"was asked {since} ago",
        "answered": "has answered",
        "lost": f"lost: {site.reason[:60]}",
    }
    return str(words[site.doing])
