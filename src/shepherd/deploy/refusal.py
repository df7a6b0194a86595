"""What a site answers to what its owner did not allow."""

from __future__ import annotations

from shepherd.errors import ShepherdError


class Refused(ShepherdError):
    """Something asked of a site is outside what its owner allows.

    The message is a sentence of ours, about settings and limits only: never a path, an example or another error's
    text. So it may be told to whoever asked. What it quotes of the other side is made fit for a terminal.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(printable(sentence)[:2000])


def printable(text: str) -> str:
    """Return text from outside as a terminal may show it: nothing in it moves the cursor or begins a line."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
