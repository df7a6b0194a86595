"""The command `shepherd`: one thin function per command, in files by what the commands are about.

A mistake of the user's ends in one sentence on standard error and exit code 2, Ctrl-C in 130.
"""

from __future__ import annotations

import errno
import logging
import sys

from shepherd.cli import (
    answering,
    chatting,
    comparing,
    finished,
    harness,
    judging,
    rating,
    running,
    scoring,
    studying,
    sweeping,
    terminal,
)
from shepherd.errors import ShepherdError

# Importing a file adds its commands; help lists them in this order.
_FILES = (
    running,
    sweeping,
    comparing,
    studying,
    answering,
    judging,
    scoring,
    rating,
    harness,
    chatting,
    finished,
)
terminal.app.registered_commands.sort(
    key=lambda command: [file.__name__ for file in _FILES].index(command.callback.__module__)
)
__all__ = ["main"]


class _Warnings(logging.Handler):
    """Writes to whatever standard error is now: while a live table is drawn, that is a line above it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        print(self.format(record), file=sys.stderr)


_STOPPED = (
    "Stopped. What is finished is kept; give the command again to go on (`shepherd run` with --resume)."
)


def main() -> None:
    """Run the command line; see the module for its exit codes."""
    level = logging.WARNING if terminal.TALKS else logging.ERROR
    logging.basicConfig(format="%(levelname)s: %(message)s", level=level, handlers=[_Warnings()])
    try:
        terminal.app()
    except ShepherdError as error:
        _stop(str(error), 2)
    except KeyboardInterrupt:
        _stop(_STOPPED, 130)
    except SystemExit as end:
        if end.code != 130:  # typer's way of passing a Ctrl-C on
            raise
        _stop(_STOPPED, 130)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _stop("The disk is full; free some space and go on with --resume. Every committed round is kept.", 2)


def _stop(sentence: str, code: int) -> None:
    terminal.err.print(f"shepherd: {sentence}", style="red", highlight=False, markup=False, soft_wrap=True)
    raise SystemExit(code)
