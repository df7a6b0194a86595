"""Answering sites that ask for messages when there can be none: from memory, without Flower's database.

Every connected site asks again and again, and each asking costs the SuperLink some twenty milliseconds of a processor.
After a site was told that there is nothing for it, that stays true until the coordinator pushes messages; and who
pushes comes by here too. Nothing else is answered here, so signs of life and answers go to Flower as ever.
"""

from __future__ import annotations

from typing import Any

from shepherd.deploy.gate import App, Message, Receive, Send

_ASKING, _PUSHING = "/v1/fleet/pull-messages", "/v1/runtime/push-messages"


class Polls:
    """Remembers to whom nothing is going.

    A signature is not looked at again: whoever knows a site's number learns only that no message waits for it.

    Parameters
    ----------
    app : ASGI application
        The SuperLink, behind the gate, which bounds what is read here.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self.pushes = 0
        self._pushed: dict[int, int] = {}  # node -> the push that last had something for it
        self._told: dict[
            int, tuple[int, list[Message]]
        ] = {}  # node -> the push after which there was nothing, and how

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path = scope.get("path")
        if path not in (_ASKING, _PUSHING):
            return await self.app(scope, receive, send)
        body, again = await _read(receive)
        if path == _PUSHING:
            return await self._push(_receivers(body), scope, again, send)
        node = _asker(body)
        at, told = self._told.get(node, (-1, []))
        if node and self._pushed.get(node, 0) <= at:
            for message in told:
                await send(message)
            return
        await self._ask(node, scope, again, send)

    async def _push(self, nodes: list[int], scope: Message, receive: Receive, send: Send) -> None:
        """Pass on what the coordinator pushes, and know for whom it is as soon as it can be asked for."""
        try:
            await self.app(scope, receive, send)
        finally:
            self.pushes += 1
            self._pushed.update(dict.fromkeys(nodes, self.pushes))

    async def _ask(self, node: int, scope: Message, receive: Receive, send: Send) -> None:
        """Have Flower answer, and remember an answer that holds no message."""
        at, said = self.pushes, list[Message]()

        async def remembered(message: Message) -> None:
            said.append(message)
            await send(message)

        await self.app(scope, receive, remembered)
        if _is_nothing(said):
            self._told[node] = (at, said)
        else:
            self._told.pop(node, None)


async def _read(receive: Receive) -> tuple[bytes, Receive]:
    """Return a request's body, and what gives it out once more."""
    parts, more = list[Message](), True
    while more:
        parts.append(await receive())
        more = parts[-1].get("more_body", False)
    left = iter(parts)

    async def again() -> Message:
        part = next(left, None)
        return part if part is not None else await receive()

    return b"".join(part.get("body", b"") for part in parts), again


def _asker(body: bytes) -> int:
    """Return the node that asks; 0 if that cannot be read."""
    from flwr.proto.fleet_pb2 import PullMessagesRequest
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        return int(PullMessagesRequest.FromString(body).node.node_id)
    except DecodeError:
        return 0


def _receivers(body: bytes) -> list[int]:
    """Return the nodes that a push has messages for; none if it cannot be read, which Flower then says."""
    from flwr.proto.runtime_pb2 import PushAppMessagesRequest
    from google.protobuf.message import DecodeError

    try:
        return [
            int(one.metadata.dst_node_id) for one in PushAppMessagesRequest.FromString(body).messages_list
        ]
    except DecodeError:
        return []


def _is_nothing(said: list[Message]) -> bool:
    """Say whether a whole answer is "no messages"."""
    from flwr.proto.fleet_pb2 import PullMessagesResponse
    from google.protobuf.message import DecodeError

    status: Any = said[0].get("status") if said else None
    if status != 200 or said[-1].get("more_body", False):
        return False
    body = b"".join(message.get("body", b"") for message in said[1:])
    try:
        return not PullMessagesResponse.FromString(body).messages_list
    except DecodeError:
        return False
