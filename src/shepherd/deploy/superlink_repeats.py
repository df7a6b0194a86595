"""An answer that a site announces once more, since it did not hear that the SuperLink had heard it.

Flower notes the first announcement and hands it to the coordinator, who fetches the answer's parts as they come. The
note is then gone, so that Flower takes the second for an answer to nothing and asks for no part of it: the site
believes that all is sent, and the coordinator waits in vain.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any


def take_repeats() -> None:
    """Have this process's SuperLink ask again for the parts of an answer that it knows and does not have whole."""
    from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState

    state: Any = SqlLinkState
    state.store_message_and_object_tree = _again(state.store_message_and_object_tree)


def _again(stored: Callable[..., tuple[bool, list[str]]]) -> Callable[..., tuple[bool, list[str]]]:
    """Store a message, or find that it is a known answer of which parts are still to come."""

    @wraps(stored)
    def stored_or_known(self: Any, message: Any, parts: Any, session: str) -> tuple[bool, list[str]]:
        """Return whether the message was taken, and the numbers of the parts that are missing."""
        taken, missing = stored(self, message, parts, session)
        # An answer's number is its content's digest: nobody but who wrote it can name it.
        if taken or self.object_store.get(message.metadata.message_id) is None:
            return taken, missing
        return True, self.preregister_object_tree(parts, session)

    return stored_or_known
