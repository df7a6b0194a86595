"""The table of sites: what a person reads of each."""

from __future__ import annotations

import time
from io import StringIO

from rich.console import Console

from shepherd.deploy.page import FederationPage, sites_table
from shepherd.deploy.watch import SiteNow, Watch


def shown(sites: dict[str, SiteNow]) -> list[str]:
    console = Console(file=StringIO(), width=150)
    console.print(sites_table(sites))
    assert isinstance(console.file, StringIO)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def test_every_site_has_a_line() -> None:
    heading, *lines = shown(
        {
            "anna": SiteNow(online=True, doing="asked", since=time.time() - 3600, rounds=3, bytes_up=3 * 10**6,
                            bytes_down=10**9, seconds=83),
            "berta": SiteNow(),
            "carla": SiteNow(doing="lost", losses=2, reason="its connection was lost"),
            "dora": SiteNow(online=True, doing="answered"),
            "emil": SiteNow(doing="asked", since=time.time() - 60),
        }
    )  # fmt: skip
    assert heading == "site now rounds lost last took sent received"
    assert lines == [
        "anna online works, 1 h 0 min 3 1 min 23 s 3.00 MB 1.00 GB",
        "berta away waits 0",
        "carla away lost: its connection was lost 0 2",
        "dora online has answered 0",
        "emil away was asked 1 min 0 s ago 0",
    ]


def test_a_sites_own_words_are_shown_as_they_are() -> None:
    (_, line) = shown({"anna": SiteNow(doing="lost", reason="[/red] [bold]and[/bold] [/x]" + "y" * 99)})
    assert "lost: [/red] [bold]and[/bold] [/x]yyy" in line
    assert "y" * 60 not in line


def test_the_page_begins_and_ends_without_a_terminal() -> None:
    console = Console(file=StringIO())
    with FederationPage(console, Watch("lambs", ["anna"])) as page:
        page.console.print(page._picture())
    assert isinstance(console.file, StringIO)
    assert "anna" in console.file.getvalue()
    assert "lambs" in console.file.getvalue()
