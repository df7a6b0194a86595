"""The gate: which peer reaches which path, and how much it may send."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

from shepherd.deploy.flower_records import PART, to_records
from shepherd.deploy.gate import HEADER, Gate, operator_token
from shepherd.deploy.wire import Envelope

SECRET = b"the federation's"
REMOTE, HERE = "10.0.0.9", "10.0.0.1"
MEBIBYTE = 2**20
OPERATOR = [(HEADER.encode(), operator_token(SECRET).encode())]


class Flower:
    """Stands for the SuperLink: reads the whole body, answers 200; can fail at it as FastAPI does."""

    def __init__(self, answers_failures: bool = False) -> None:
        self.answers_failures = answers_failures
        self.served: list[str] = []
        self.scopes: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope["type"])
        if scope["type"] == "lifespan":
            return
        try:
            while (await receive()).get("more_body"):
                pass
        except Exception:
            if self.answers_failures:
                await send({"type": "http.response.start", "status": 500, "headers": []})
            raise
        self.served.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})


def called(
    flower: Flower,
    path: str,
    peer: str = REMOTE,
    headers: Sequence[tuple[bytes, bytes]] = (),
    body: Sequence[bytes] = (b"",),
    kind: str = "http",
    largest: int = 10 * MEBIBYTE,
) -> list[Any]:
    """Return what the peer is sent: status codes, or the type of what is not HTTP."""
    sent: list[Any] = []
    coming = iter(body)

    async def receive() -> Any:
        part = next(coming)
        return {"type": "http.request", "body": part, "more_body": coming.__length_hint__() > 0}

    async def send(message: Any) -> None:
        if message["type"] != "http.response.body":
            sent.append(message.get("status", message["type"]))

    scope = {
        "type": kind,
        "path": path,
        "headers": list(headers),
        "client": (peer, 40000),
        "server": (HERE, 8443),
    }
    asyncio.run(Gate(flower, SECRET, largest)(scope, receive, send))
    return sent


@pytest.mark.parametrize("peer", [REMOTE, HERE, "127.0.0.1", "::1", ""])
@pytest.mark.parametrize("path", ["/health", "/v1/fleet/pull-messages", "/v1/fleet/push-object"])
def test_what_a_node_needs_is_served_to_everybody(path: str, peer: str) -> None:
    assert called(Flower(), path, peer) == [200]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/control/start-run",
        "/v1/control/list-runs",
        "/v1/runtime/acquire-task",
        "/v1/fleet/register-node",
        "/v1/fleet/unregister-node",
        "/v1/fleet/",
        "/v1/fleet/../control/start-run",
        "/v1/fleet/pull-messages/",
        "/docs",
        "/openapi.json",
        "/redoc",
        "/health/",
        "/",
        "",
    ],
)
def test_nothing_else_is_served_to_a_remote_peer_whatever_it_says(path: str) -> None:
    flower = Flower()
    assert called(flower, path, headers=OPERATOR) == [404]
    assert flower.served == []


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", HERE])
def test_control_wants_the_operators_word_even_here(peer: str) -> None:
    path = "/v1/control/start-run"
    assert called(Flower(), path, peer) == [404]
    assert called(Flower(), path, peer, [(HEADER.encode(), b"")]) == [404]
    assert called(Flower(), path, peer, [(HEADER.encode(), operator_token(b"other").encode())]) == [404]
    assert called(Flower(), path, peer, OPERATOR) == [200]
    assert called(Flower(), "/v1/runtime/acquire-task", peer) == [200]  # guarded by the SuperLink itself


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/v1/fleet/register-node"])
def test_what_nobody_needs_is_served_to_nobody(path: str) -> None:
    assert called(Flower(), path, "127.0.0.1", OPERATOR) == [404]


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        ("/v1/fleet/push-object", 4 * MEBIBYTE + 256 * 1024),
        ("/v1/fleet/push-messages", 12 * 1024 + 80 * 3),
        ("/v1/runtime/push-messages", 8 * (12 * 1024 + 80 * 3)),
    ],
)
def test_what_says_that_it_is_too_large_is_not_read(path: str, limit: int) -> None:
    flower = Flower()
    peer = HERE if "runtime" in path else REMOTE
    assert called(flower, path, peer, [(b"content-length", str(limit).encode())]) == [200]
    assert called(flower, path, peer, [(b"content-length", str(limit + 1).encode())]) == [413]
    assert flower.served == [path]


@pytest.mark.parametrize("flower", [Flower(), Flower(answers_failures=True)], ids=["raises", "answers first"])
@pytest.mark.parametrize("headers", [[], [(b"content-length", b"5")], [(b"content-length", b"-1")]])
def test_what_turns_out_to_be_too_large_is_cut_off_with_one_answer(flower: Flower, headers: Any) -> None:
    parts = [b"0" * (2 * MEBIBYTE)] * 3
    assert called(flower, "/v1/fleet/push-object", headers=headers, body=parts[:2]) == [200]
    assert called(flower, "/v1/fleet/push-object", headers=headers, body=parts) == [413]


def test_a_list_of_parts_grows_with_the_longest_message() -> None:
    said = [(b"content-length", str(12 * 1024 + 80 * 20).encode())]
    assert called(Flower(), "/v1/fleet/push-messages", headers=said, largest=10 * MEBIBYTE) == [413]
    assert called(Flower(), "/v1/fleet/push-messages", headers=said, largest=100 * MEBIBYTE) == [200]


def announced(envelope: Envelope) -> tuple[int, int]:
    """Return how many bytes announce a message as Flower's nodes do, and the bytes of its largest part."""
    from flwr.app import Message
    from flwr.app.error import Error
    from flwr.common.constant import ErrorCode
    from flwr.common.serde import message_to_proto
    from flwr.proto.fleet_pb2 import PushMessagesRequest
    from flwr.proto.message_pb2 import PushObjectRequest
    from flwr.proto.node_pb2 import Node
    from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree

    asked = Message(to_records(envelope), dst_node_id=2**63, message_type="train.train", group_id="1" * 10)
    parts = get_all_nested_objects(asked)
    refusal = Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, "\u4e00" * 2000), reply_to=asked)
    push = PushMessagesRequest(
        node=Node(node_id=2**63),
        messages_list=[message_to_proto(refusal)],
        message_object_trees=[get_object_tree(asked)],
    )
    largest = max(
        PushObjectRequest(
            node=Node(node_id=2**63), object_id="0" * 64, object_content=part.deflate()
        ).ByteSize()
        for part in parts.values()
    )
    return push.ByteSize(), largest


@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_message_of_ours_passes_and_not_much_more_is_announced(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("flwr")
    for part in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr("flwr.supercore.task_identity.TaskIdentity." + part, 2**63)
    parts = random.Random(count).randbytes(count * PART)
    most = len(parts)
    listed, largest = announced(Envelope("train", "a" * 64, 3, {"error": "\u4e00" * 2000}, parts))
    for path, size in (("push-messages", listed), ("push-object", largest)):
        said = [(b"content-length", str(size).encode())]
        assert called(Flower(), f"/v1/fleet/{path}", headers=said, largest=most) == [200]
    # What names a part has 68 bytes at least: so many of the largest are all that a site can announce.
    gate = Gate(Flower(), SECRET, 1024 * 10**6)
    assert gate.largest_list // 68 * (4 * MEBIBYTE + 256 * 1024) < 2.1 * 1024 * 10**6


def test_a_websocket_is_closed_and_the_lifespan_passed_on() -> None:
    flower = Flower()
    assert called(flower, "/health", "127.0.0.1", kind="websocket") == ["websocket.close"]
    assert called(flower, "", kind="lifespan") == []
    assert flower.scopes == ["lifespan"]
