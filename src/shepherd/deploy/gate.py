"""The gate before the SuperLink: who may reach which path, and how much they may send.

Flower serves everything at one port, and asks nobody who starts runs or registers nodes for a name. Behind this gate
a remote peer reaches only what a SuperNode needs, and even here the control paths want the federation's secret.
"""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from hashlib import sha256
from typing import Any

_FLEET = "/v1/fleet/"
#: What a registered SuperNode calls; registering itself is not among it.
_OF_NODES = frozenset(
    f"{_FLEET}{call}"
    for call in (
        "activate-node", "deactivate-node", "send-node-heartbeat", "pull-messages", "push-messages", "get-run",
        "get-fab", "push-object", "pull-object", "confirm-message-received",
    )
)  # fmt: skip
_RUNTIME, _CONTROL, HEALTH = "/v1/runtime/", "/v1/control/", "/health"
HEADER = "x-shepherd-operator"
#: A message is cut into such parts, as `flower_records.PART` says; one and its frame fit into the second.
_PART = 4 * 2**20
_LARGEST_PART = _PART + 2**18
#: A message's list of parts: what names one part takes, in bytes, and what a message has besides, a long refusal too.
_NAMED_PART, _NAMED_REST = 80, 12 * 2**10
_ANNOUNCING = f"{_FLEET}push-messages"
#: The coordinator announces some messages at once.
_AT_ONCE = 8

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


def operator_token(secret: bytes) -> str:
    """Return what whoever holds the federation's secret says to reach the control paths."""
    return hmac.new(secret, b"shepherd control", sha256).hexdigest()


class TooLarge(Exception):
    """A request says or turns out to be larger than any of Shepherd's."""


class Gate:
    """Lets through what is allowed, and answers 404 to everything else.

    Parameters
    ----------
    app : ASGI application
        The SuperLink.
    secret : bytes
        The federation's.
    largest_message : int
        Most bytes of one message; a message is told of in parts before they are sent, so that a site cannot fill the
        coordinator's disk.
    """

    def __init__(self, app: App, secret: bytes, largest_message: int) -> None:
        self.app = app
        self.token = operator_token(secret)
        self.largest_list = _NAMED_REST + _NAMED_PART * (largest_message // _PART + 1)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http" or not self.allows(scope):
            return await _refuse(scope, send, 404)
        limit = self._limit(scope["path"])
        if _length(scope) > limit:
            return await _refuse(scope, send, 413)
        counted = _Counted(receive, send, limit)
        with contextlib.suppress(TooLarge):
            await self.app(scope, counted.receive, counted.send)
        if counted.exceeded:
            await _refuse(scope, send, 413)

    def _limit(self, path: str) -> int:
        """Return the most bytes of one request."""
        if path.endswith("-object"):
            return _LARGEST_PART
        return self.largest_list if path == _ANNOUNCING else _AT_ONCE * self.largest_list

    def allows(self, scope: Message) -> bool:
        """Say whether this peer may reach this path."""
        path = scope["path"]
        if path == HEALTH or path in _OF_NODES:
            return True
        if not _is_local(scope):
            return False
        if path.startswith(_CONTROL):
            headers = dict(scope["headers"])
            return hmac.compare_digest(headers.get(HEADER.encode(), b""), self.token.encode())
        return path.startswith(_RUNTIME)  # the SuperLink itself asks for the secret, or a task's token


def _is_local(scope: Message) -> bool:
    """Say whether the peer is on this machine: it comes from a loopback address or from the very one it calls."""
    peer = (scope.get("client") or ("",))[0]
    return peer in ("127.0.0.1", "::1") or (peer != "" and peer == (scope.get("server") or ("",))[0])


def _length(scope: Message) -> int:
    said = dict(scope["headers"]).get(b"content-length", b"0")
    return int(said) if said.isdigit() else 0


class _Counted:
    """Counts what comes in, for whoever does not say how much it is; what is said of too much is not sent."""

    def __init__(self, receive: Receive, send: Send, limit: int) -> None:
        self._receive, self._send = receive, send
        self.left = limit

    @property
    def exceeded(self) -> bool:
        """Whether more came than may."""
        return self.left < 0

    async def receive(self) -> Message:
        """Pass on what comes in."""
        message = await self._receive()
        self.left -= len(message.get("body", b""))
        if self.exceeded:
            raise TooLarge
        return message

    async def send(self, message: Message) -> None:
        """Pass on what goes out; Flower's own answer to the interruption would come before the gate's."""
        if not self.exceeded:
            await self._send(message)


async def _refuse(scope: Message, send: Send, status: int) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    await send(
        {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]}
    )
    await send({"type": "http.response.body", "body": b"Not served to you.\n"})
