"""What a model is asked, and the name under which its reply is found again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal


@dataclass(frozen=True)
class Message:
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Request:
    """One question to a model.

    Attributes
    ----------
    messages : tuple of Message
        The conversation so far.
    model : str
        The model's name at the server.
    temperature : float
        From 0 to 2.
    max_tokens : int
        Most tokens of the reply.
    turn : int
        Tells apart requests that are otherwise equal: the rating's number, asking once more. It is not sent.
    """

    messages: tuple[Message, ...]
    model: str
    temperature: float
    max_tokens: int
    turn: int = 0

    @cached_property
    def key(self) -> str:
        """SHA-256 of everything above, in hex."""
        # A temperature of 0 and one of 0.0 are the same request.
        whole = asdict(self) | {"temperature": float(self.temperature)}
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()
