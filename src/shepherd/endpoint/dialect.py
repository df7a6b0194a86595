"""How a request is put into words for a server: some models refuse a parameter that all others take."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from shepherd.endpoint.request import Request

log = logging.getLogger(__name__)

_REFUSES = re.compile(r"unsupported|not support|only the default|deprecated", re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """Which parameters a server takes.

    Attributes
    ----------
    limit : str
        What it calls the most tokens of a reply: OpenAI's newer models know only ``max_completion_tokens``.
    temperature : bool
        Whether it may be told a temperature; models that reason before they answer often have their own.
    """

    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    temperature: bool = True

    def body(self, request: Request) -> dict[str, Any]:
        """Return what is sent."""
        messages = [{"role": message.role, "content": sound(message.content)} for message in request.messages]
        body = {"model": request.model, "messages": messages, self.limit: request.max_tokens}
        return body | ({"temperature": request.temperature} if self.temperature else {})

    def after(self, refusal: str) -> Dialect:
        """Return how to go on after a server refused a request with these words: as before, unless they name why."""
        if re.search(r"\bmax_tokens\b", refusal) and "max_completion_tokens" in refusal:
            return replace(self, limit="max_completion_tokens")
        if "temperature" in refusal and _REFUSES.search(refusal):
            return replace(self, temperature=False)
        return self

    def joined(self, other: Dialect) -> Dialect:
        """Return the dialect that avoids what either avoids, and say what is new in it."""
        limit = other.limit if self.limit == "max_tokens" else self.limit
        both = Dialect(limit, self.temperature and other.temperature)
        if both.limit != self.limit:
            log.warning(
                "the server wants max_completion_tokens instead of max_tokens; it is sent that from here on"
            )
        if both.temperature != self.temperature:
            log.warning(
                "the server takes no temperature; none is sent from here on, and the model uses its own"
            )
        return both


def sound(text: str) -> str:
    """Return `text` with halves of characters, which UTF-8 cannot hold, replaced by question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
