"""The coordinator's end of Flower, without Flower's processes: what its threads do to one another."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("flwr")

import httpx
from flwr.supercore.run import RunNotRunningException

from shepherd.deploy.certificates import new_identity
from shepherd.deploy.coordinating import public_keys
from shepherd.deploy.flower_link import FlowerLink
from shepherd.deploy.reach import Reach
from shepherd.errors import ShepherdError


def bare(**parts: Any) -> FlowerLink:
    """A link that is connected to nothing."""
    link: Any = FlowerLink.__new__(FlowerLink)
    link._nodes, link._out, link._beginning = {}, set(), threading.Lock()
    link._grid, link._answers, link._reach, link._damaged = None, None, Reach(), set()
    link._stopped = threading.Event()
    for name, part in parts.items():
        setattr(link, name, part)
    found: FlowerLink = link
    return found


def test_a_list_of_sites_that_cannot_be_read_does_not_end_the_heartbeat(
    caplog: pytest.LogCaptureFixture,
) -> None:
    beats, troubles = [], iter([ShepherdError("there is no site 'anna'"), ValueError("no key"), None])
    turns = iter([False, False, False, True])

    def admit() -> None:
        trouble = next(troubles)
        if trouble is not None:
            raise trouble

    link = bare(
        _stopped=SimpleNamespace(wait=lambda seconds: next(turns)),
        _grid=SimpleNamespace(_runtime_client=SimpleNamespace(SendTaskHeartbeat=beats.append)),
        _admit=admit,
    )
    link._beat()
    assert len(beats) == 3
    assert [record.message for record in caplog.records] == [
        "The list of sites cannot be read (there is no site 'anna'); it stays as it was.",
        "The list of sites cannot be read (no key); it stays as it was.",
    ]


def test_whom_the_federation_has_is_told() -> None:
    assert set(bare(_nodes={1: "anna", 2: "berta"}).admitted()) == {"anna", "berta"}


def test_two_threads_that_meet_a_lost_run_begin_it_once() -> None:
    both, begun = threading.Barrier(2), []

    def lost() -> list[int]:
        both.wait(60)
        raise RunNotRunningException

    link = bare(_grid=SimpleNamespace(get_node_ids=lost))

    def begin() -> None:
        begun.append(1)
        link._grid = SimpleNamespace(get_node_ids=list)

    link._begin_run = begin  # type: ignore[method-assign]
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(link.online())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(begun), [list(one) for one in found]) == (1, [[], []])


def refusing(request: Any) -> Any:
    response = httpx.Response(500, request=httpx.Request("POST", "https://localhost"))
    raise httpx.HTTPStatusError("trouble", request=response.request, response=response)


def absent(request: Any) -> Any:
    raise httpx.ConnectError("nobody listens")


@pytest.mark.parametrize(("call", "word"), [(refusing, "HTTP 500"), (absent, "ConnectError")])
def test_a_superlink_that_does_not_serve_at_the_start_is_one_sentence(call: Any, word: str) -> None:
    link = bare(_control=SimpleNamespace(ListNodes=call), sites=dict)
    with pytest.raises(ShepherdError, match=rf"does not serve its coordinator \({word}\); .*superlink\.log"):
        link.__enter__()


class Register:
    """The SuperLink's list of nodes, in which a removed one stays, and keeps its key."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, Any] = {}

    def ListNodes(self, request: Any) -> Any:
        return SimpleNamespace(nodes_info=list(self.nodes.values()))

    def RegisterNode(self, request: Any) -> Any:
        if request.public_key in self.nodes:
            refusing(request)
        node = SimpleNamespace(
            public_key=request.public_key, node_id=len(self.nodes), name=request.name, status="online"
        )
        self.nodes[request.public_key] = node
        return node

    def UnregisterNode(self, request: Any) -> None:
        for node in self.nodes.values():
            if node.node_id == request.node_id:
                node.status = "unregistered"


def test_a_damaged_key_keeps_no_other_site_out_and_puts_nobody_out(caplog: pytest.LogCaptureFixture) -> None:
    keys = {name: new_identity().public for name in ("anna", "berta", "carla")}
    keys["damaged"], keys["twin"] = b"ssh-rsa nonsense", keys["anna"]
    link = bare(_control=Register(), sites=lambda: keys)
    link._admit()
    assert link.admitted() == {"anna", "berta", "carla"}
    keys["berta"] = b""
    link._admit()
    link._admit()
    assert link.admitted() == {"anna", "berta", "carla"}
    del keys["berta"]
    link._admit()
    assert link.admitted() == {"anna", "carla"}
    said = [record.message for record in caplog.records]
    assert len(said) == 3
    assert any("'damaged' is damaged" in line for line in said)
    assert any("'twin' is that of 'anna'" in line for line in said)


def test_a_key_that_is_damaged_when_a_run_goes_on_is_taken_again_once_it_is_restored() -> None:
    register, keys = Register(), {name: new_identity().public for name in ("anna", "berta")}
    bare(_control=register, sites=lambda: keys)._admit()
    resumed, whole = bare(_control=register, sites=lambda: keys), keys["berta"]
    keys["berta"] = b""
    resumed._admit()
    assert resumed.admitted() == {"anna", "berta"}
    keys["berta"] = whole
    resumed._admit()
    assert resumed.admitted() == {"anna", "berta"}
    assert {node.status for node in register.nodes.values()} == {"online"}


def test_a_removed_key_that_is_restored_keeps_nobody_out_and_is_named_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    keys = {name: new_identity().public for name in ("anna", "berta")}
    link, removed = bare(_control=Register(), sites=lambda: keys), keys["berta"]
    link._admit()
    del keys["berta"]
    link._admit()
    keys.update(berta=removed, carla=new_identity().public)
    link._admit()
    link._admit()
    assert link.admitted() == {"anna", "carla"}
    (said,) = [record.message for record in caplog.records]
    assert "'berta' was removed during this run, which does not take it again" in said
    assert said.endswith("or remove the site and add it again.")


def test_the_real_superlink_names_its_nodes_and_takes_no_removed_key_again() -> None:
    from flwr.server.superlink.linkstate.linkstate_factory import LinkStateFactory
    from flwr.supercore.object_store import ObjectStoreFactory
    from flwr.superlink.federation import NoOpFederationManager

    state: Any = LinkStateFactory(":flwr-in-memory:", NoOpFederationManager(), ObjectStoreFactory()).state()
    key = new_identity().public
    node = state.create_node("aid", "owner", key, 30.0, name="anna")
    assert [(one.name, one.status) for one in state.get_node_info()] == [("anna", "registered")]
    state.delete_node("aid", node)
    assert [one.status for one in state.get_node_info()] == ["unregistered"]
    with pytest.raises(ValueError, match="already in use"):
        state.create_node("aid", "owner", key, 30.0, name="anna")


@pytest.mark.parametrize(
    "error", [RuntimeError("Cannot send a request, as the client has been closed."), RunNotRunningException()]
)
def test_who_looks_while_the_link_is_closed_sees_nobody_and_begins_nothing(error: BaseException) -> None:
    def fails() -> list[int]:
        raise error

    link = bare(_grid=SimpleNamespace(get_node_ids=fails))
    link._begin_run = lambda: pytest.fail("the run has ended")  # type: ignore[method-assign]
    link._stopped.set()
    assert list(link.online()) == []
    if isinstance(error, RuntimeError):
        link._stopped.clear()
        with pytest.raises(RuntimeError, match="closed"):
            link.online()


def test_a_key_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    def public_key(name: str) -> bytes:
        if name == "unreadable":
            raise PermissionError
        if name == "removed":
            raise ShepherdError("there is no such site")
        return b"key"

    folder: Any = SimpleNamespace(sites=lambda: ["anna", "removed", "unreadable"], public_key=public_key)
    assert public_keys(folder) == {"anna": b"key", "unreadable": b""}


def test_a_superlink_that_stays_away_ends_whoever_waits_for_sites() -> None:
    now = [0.0]
    link = bare(_grid=SimpleNamespace(get_node_ids=lambda: absent(None)), _reach=Reach(lambda: now[0]))
    assert list(link.online()) == []
    assert link.admitted() == set()
    now[0] = 400.0
    with pytest.raises(ShepherdError, match="has not answered for 7 minutes"):
        link.admitted()
