"""What is known of a running federation, and its status file."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from memory_link import MemoryLink

from shepherd.deploy.watch import Now, SiteNow, Watch, now_of, read_status
from shepherd.errors import ShepherdError
from shepherd.model.adapter import Adapter
from shepherd.state import RunState


def state(round: int) -> RunState:
    return RunState(round, Adapter({}))


def trained(site: str, sent: int = 10) -> dict[str, Any]:
    return {"client": site, "bytes_up": sent, "bytes_down": 7, "machine": {"seconds": 2.5}}


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    return Watch("lambs", ["anna", "berta"], tmp_path / "status.json")


def doing(watch: Watch) -> dict[str, str]:
    return {name: site.doing for name, site in watch.now.sites.items()}


def test_a_round(watch: Watch) -> None:
    watch.started(state(3), 10)
    watch.selecting(4, ["anna", "berta"])
    assert doing(watch) == {"anna": "asked", "berta": "asked"}
    watch.summarised("anna")
    assert doing(watch) == {"anna": "answered", "berta": "asked"}
    watch.cohort(4, ["anna", "berta"])
    watch.client(trained("anna"))
    watch.client(trained("anna"))
    watch.lost(4, "berta", "its connection was lost")
    assert doing(watch) == {"anna": "answered", "berta": "lost"}
    lines = [
        {"scope": "round", "machine": {"seconds": 9.0}},
        {"scope": "global", "loss": 1.25},
        {"scope": "client"},
    ]
    watch.committed(state(4), lines)
    assert doing(watch) == {"anna": "idle", "berta": "idle"}
    now = watch.now
    assert (now.round, now.rounds, now.loss, now.round_seconds) == (4, 10, 1.25, 9.0)
    anna, berta = now.sites.values()
    assert (anna.rounds, anna.losses, anna.bytes_up, anna.bytes_down, anna.seconds) == (2, 0, 20, 14, 2.5)
    assert (berta.rounds, berta.losses, berta.reason) == (0, 1, "its connection was lost")


def test_the_status_is_what_is_known(watch: Watch, tmp_path: Path) -> None:
    assert read_status(tmp_path / "status.json") is None
    watch.started(state(3), 10)
    watch.lost(4, "berta", "gone")
    said = read_status(tmp_path / "status.json")
    assert said == json.loads(json.dumps(asdict(watch.now)))
    assert now_of(said, tmp_path) == watch.now
    assert said["written"] > 0


def test_who_is_connected_is_looked_up(watch: Watch) -> None:
    assert not any(site.online for site in watch.look().sites.values())
    link = MemoryLink({"anna": lambda asked: asked, "berta": lambda asked: asked})
    link.away = {"anna"}
    watch.linked(link)
    assert {name: site.online for name, site in watch.look().sites.items()} == {"anna": False, "berta": True}


def test_a_coordinator_that_has_finished_leaves_no_status(tmp_path: Path) -> None:
    watch = Watch("lambs", ["anna"], tmp_path / "removed" / "status.json")
    watch.write()
    assert not (tmp_path / "removed").exists()


def test_a_site_that_was_removed_before_the_run_went_on_is_followed_too(watch: Watch) -> None:
    watch.cohort(4, ["anna", "carla"])
    watch.lost(4, "carla", "it was removed from the federation")
    assert doing(watch) == {"anna": "asked", "berta": "idle", "carla": "lost"}
    watch.client(trained("dora"))
    assert watch.now.sites["dora"].rounds == 1


def test_the_status_is_for_its_owner_only(watch: Watch, tmp_path: Path) -> None:
    watch.write()
    assert (tmp_path / "status.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "{", "\x00"])
def test_a_status_that_cannot_be_read_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text(content)
    assert read_status(tmp_path / "status.json") is None


@pytest.mark.parametrize(
    "said", [{"run": "a"}, {"run": "a", "sites": [], "more": 1}, {"run": "a", "sites": {"b": {"x": 1}}}]
)
def test_another_releases_status_is_one_sentence(said: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ShepherdError, match="not written by this release"):
        now_of(said, tmp_path)
    assert now_of({"run": "a", "sites": {"b": {"online": True}}}, tmp_path) == Now(
        "a", sites={"b": SiteNow(True)}
    )


def test_the_page_and_the_run_take_turns(watch: Watch) -> None:
    """Both write the same file, and both change the same figures."""
    failed: list[BaseException] = []

    def look() -> None:
        try:
            for _ in range(60):
                watch.look()
                watch.write()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(60):
        watch.client(trained("anna", sent=1))
    for thread in threads:
        thread.join()
    assert failed == []
    assert watch.now.sites["anna"].rounds == 60
