"""What a server sent back, checked and made a reply; nothing in it is trusted."""

from __future__ import annotations

import json
from typing import Any

from shepherd.endpoint.dialect import sound
from shepherd.endpoint.failures import Endpoint, Failure, is_html
from shepherd.endpoint.replies import Reply
from shepherd.endpoint.request import Request


def read_reply(body: str, request: Request, endpoint: Endpoint) -> Reply | Failure:
    """Return the reply that a body of status 200 holds, or why it holds none.

    A reply without choices or content was still made and paid for: its text is ``""``.
    """
    if is_html(body):
        return endpoint.foreign("HTML")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return endpoint.broken("no whole JSON")
    # Some gateways report the trouble behind them with status 200.
    if isinstance(value, dict) and value.get("error"):
        return endpoint.status(503, {}, body)
    if not isinstance(value, dict) or not isinstance(value.get("choices"), list):
        return endpoint.foreign("JSON without choices")
    return _reply(value, request, endpoint)


def _reply(value: dict[str, Any], request: Request, endpoint: Endpoint) -> Reply:
    choice = _mapping(next(iter(value["choices"]), None))
    usage = _mapping(value.get("usage"))
    finish, model = choice.get("finish_reason"), value.get("model")
    return Reply(
        key=request.key,
        text=endpoint.redacted(sound(_text(_mapping(choice.get("message")).get("content")))),
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        finish=endpoint.redacted(sound(finish)) if isinstance(finish, str) else None,
        model=endpoint.redacted(sound(model)) if isinstance(model, str) and model else request.model,
    )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(content: Any) -> str:
    """Return a message's text, which some servers send in parts."""
    if isinstance(content, list):
        return "".join(part["text"] for part in map(_mapping, content) if isinstance(part.get("text"), str))
    return content if isinstance(content, str) else ""


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
