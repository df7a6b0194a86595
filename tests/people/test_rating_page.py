"""The page's server, over the network as a browser and as a stranger speak to it."""

from __future__ import annotations

import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from rated_study import MODELS, answer

from shepherd.errors import ShepherdError
from shepherd.people import desk as desk_module
from shepherd.people.desk import Desk, Refused
from shepherd.people.exchange import hand_out
from shepherd.people.items import Material, draw
from shepherd.people.page import RatingServer
from shepherd.people.rating import ratings
from shepherd.people.sheet import sheet_path
from shepherd.study.directory import Study


def _desk(study: Study, reference: str = "chatgpt", count: int | None = None) -> Desk:
    material = Material(study)
    items = draw(material, MODELS, reference, count, rater="anna").items
    rows = hand_out(study, "anna", items, material)
    return Desk(sheet_path(study, "anna"), rows, [item.id for item in items])


@pytest.fixture
def server(study: Study) -> Iterator[RatingServer]:
    """A page of twelve pairs, being served."""
    with RatingServer(_desk(study)) as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        served.shutdown()
        thread.join()


def _ask(url: str, body: Any = None, **headers: str) -> tuple[int, Any, str]:
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    fields = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
    request = urllib.request.Request(url, data, fields if data is not None else headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def _items(server: RatingServer) -> list[dict[str, Any]]:
    status, _, text = _ask(server.address + "items")
    assert status == 200
    return json.loads(text)


def _said(item: str, *scores: Any, comment: Any = "") -> dict[str, Any]:
    return {"item": item, "scores": list(scores), "comment": comment}


def test_the_page_is_whole_and_asks_nobody_else(server: RatingServer) -> None:
    status, headers, page = _ask(server.address)
    assert status == 200
    assert headers.get_content_type() == "text/html"
    assert not re.findall(r"(?:src|href|url|import|@import)\s*[=(]\s*[\"']?https?:", page)
    policy = headers["Content-Security-Policy"]
    nonce = re.search(r"script-src 'nonce-([\w-]+)'", policy)
    assert nonce
    assert page.count(f'nonce="{nonce[1]}"') == 2
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "innerHTML" not in page
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert _ask(server.address)[1]["Content-Security-Policy"] != policy


def test_items_are_blinded(study: Study) -> None:
    for label in MODELS:
        answer(study, label, {f"q{n}": f"{len(label)} words" for n in range(6)})
    with RatingServer(_desk(study)) as served:
        threading.Thread(target=served.handle_request).start()
        text = _ask(served.address + "items")[2]
    assert not any(label in text for label in MODELS)
    assert [set(item) for item in json.loads(text)] == [
        {"item", "question", "context", "answers", "scores", "comment"}
    ] * 12


def test_every_rating_is_written_at_once(server: RatingServer, study: Study) -> None:
    first, second, *_ = _items(server)
    assert _ask(server.address + "ratings", _said(first["item"], 7, None))[0] == 204
    assert ratings(study) == []
    assert _ask(server.address + "ratings", _said(first["item"], 7, 9, comment=" =good "))[0] == 204
    assert _ask(server.address + "ratings", _said(second["item"], 4, 4))[0] == 204
    one, other = ratings(study)
    assert {one.score, one.reference_score} == {7, 9}
    assert one.comment == "=good"
    assert other.winner == "tie"
    assert b"'=good" in sheet_path(study, "anna").read_bytes()
    assert _items(server)[0] | {"comment": ""} == first | {"scores": [7, 9]}
    assert server.desk.rated == 2
    assert _ask(server.address + "ratings", _said(first["item"], None, None))[0] == 204
    assert len(ratings(study)) == 1


def test_it_goes_on_where_it_was_left(server: RatingServer, study: Study) -> None:
    name = _items(server)[5]["item"]
    _ask(server.address + "ratings", _said(name, 7, 9))
    assert [row.item for row in _desk(study).shown if row.is_rated] == [name]


def test_ratings_at_once_are_all_kept(server: RatingServer, study: Study) -> None:
    names = [item["item"] for item in _items(server)]
    with ThreadPoolExecutor(12) as pool:
        codes = list(pool.map(lambda n: _ask(server.address + "ratings", _said(n, 1, 10))[0], names))
    assert codes == [204] * 12
    assert len(ratings(study)) == 12


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::1]", "", "localhost.evil", "["]
)
def test_another_hosts_name_is_refused(server: RatingServer, host: str) -> None:
    assert _ask(server.address, Host=host)[0] == 403
    assert _ask(server.address + "items", Host=host)[0] == 403
    assert _ask(server.address + "ratings", _said("x"), Host=host)[0] == 403


def test_a_forwarded_port_is_let_in(server: RatingServer) -> None:
    assert _ask(server.address, Host="localhost:9000")[0] == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost"])
def test_another_sites_page_is_refused(server: RatingServer, study: Study, origin: str) -> None:
    name = _items(server)[0]["item"]
    assert _ask(server.address + "ratings", _said(name, 1, 1), Origin=origin)[0] == 403
    assert ratings(study) == []
    own = server.address.rsplit("/", 2)[0]
    assert _ask(server.address + "ratings", _said(name, 1, 1), Origin=own)[0] == 204


@pytest.mark.parametrize("path", ["", "items", "x/", "x/items", "../items", "é/".encode().hex(), "%2e%2e/"])
def test_without_the_token_there_is_nothing(server: RatingServer, path: str) -> None:
    root = server.address.rsplit("/", 2)[0] + "/"
    assert _ask(root + path)[0] == 404
    assert _ask(root + path, _said("x"))[0] == 404
    assert _ask(server.address + "nothing")[0] == 404
    assert _ask(server.address + "items", _said("x"))[0] == 404


@pytest.mark.parametrize(
    ("scores", "comment"),
    [
        ([0, 5], ""),
        ([5, 11], ""),
        ([5], ""),
        ([5, 5, 5], ""),
        (["5", 5], ""),
        ([True, 5], ""),
        ([float("nan"), 5], ""),
        ([float("inf"), 5], ""),
        ([[5], 5], ""),
        ("55", ""),
        ([5, 5], 7),
        ([5, 5], "x" * 10_001),
    ],
)
def test_what_is_no_rating_is_refused(server: RatingServer, study: Study, scores: Any, comment: Any) -> None:
    name = _items(server)[0]["item"]
    before = sheet_path(study, "anna").read_bytes()
    status, _, said = _ask(server.address + "ratings", {"item": name, "scores": scores, "comment": comment})
    assert status == 400
    assert said.endswith((".", "null."))
    assert sheet_path(study, "anna").read_bytes() == before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b'{"item": "x"}',
        b"[" * 60_000,
        b'{"item":["x"],"scores":[],"comment":""}',
    ],
)
def test_what_is_no_message_is_refused(server: RatingServer, body: bytes) -> None:
    assert _ask(server.address + "ratings", body)[0] == 400


def test_other_kinds_lengths_and_methods_are_refused(server: RatingServer) -> None:
    assert _ask(server.address + "ratings", b"{}", Content_Type="text/plain")[0] == 415
    assert _ask(server.address + "ratings", b"{}", Content_Length="many")[0] == 411
    assert _ask(server.address + "ratings", b"{}", Content_Length="999999")[0] == 413
    request = urllib.request.Request(server.address, method="DELETE")
    with pytest.raises(urllib.error.HTTPError, match="501"):
        urllib.request.urlopen(request, timeout=10)


def test_a_full_disk_is_said_in_the_page(
    server: RatingServer, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, rows: Any) -> None:
        raise ShepherdError(f"Cannot write {path}: the disk is full; free some space.")

    name = _items(server)[0]["item"]
    monkeypatch.setattr(desk_module, "write_sheet", full)
    status, _, said = _ask(server.address + "ratings", _said(name, 5, 5))
    assert (status, "the disk is full" in said) == (507, True)
    assert _items(server)[0]["scores"] == [None, None]
    monkeypatch.undo()
    assert _ask(server.address + "ratings", _said(name, 5, 5))[0] == 204


def test_only_what_was_asked_for_is_shown_and_the_rest_is_kept(study: Study) -> None:
    everything = _desk(study)
    everything.write(_said(everything.shown[0].item, 3, 4))
    few = _desk(study, reference="", count=1)
    assert len(few.shown) == 3
    few.write(_said(few.shown[0].item, 9))
    with pytest.raises(Refused, match="no such item"):
        few.write(_said(everything.shown[0].item, 9, 9))
    assert len(ratings(study)) == 2


def test_every_server_has_a_token_of_its_own_and_listens_to_this_machine_only(study: Study) -> None:
    with RatingServer(_desk(study)) as one, RatingServer(_desk(study)) as other:
        assert one.token != other.token
        assert len(one.token) >= 32
        assert one.server_address[0] == "127.0.0.1"
        with pytest.raises(ShepherdError, match=f"Port {one.server_port} cannot be had: it is in use"):
            RatingServer(one.desk, one.server_port)
