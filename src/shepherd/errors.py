"""The one exception a user ever sees: a sentence saying what, where, and what to do."""

from __future__ import annotations


class ShepherdError(Exception):
    """Something the user gave, or their machine, cannot be used; the message is the whole story.

    The command line prints it and exits with code 2. Nothing already committed is lost.
    """


def first_line(error: BaseException) -> str:
    """Return what an error says first, or its kind if it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
