"""What a site answers to what its owner did not allow."""

from __future__ import annotations

from shepherd.errors import ShepherdError


class Refused(ShepherdError):
    """Something asked of a site is outside what its owner allows.

    The message is a sentence of ours, about settings and limits only: never a path, an example or another error's
    text. So it may be told to whoever asked.
    """
