"""The same conversation in a terminal: a line is a prompt, a line that begins with a slash is a command.

Lines may also come from a pipe. An answer is printed as it is spoken, one model after another.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.markup import escape

from shepherd.chat.exchange import Exchange, Turn, ask, in_turn, in_words
from shepherd.errors import ShepherdError
from shepherd.evaluation.decoding import DecodingSettings
from shepherd.settings import checked, nearest
from shepherd.units import counted

if TYPE_CHECKING:
    from rich.console import Console

    from shepherd.chat.models import Speaker

HELP = """\
A line is a prompt for every model; each stands alone, nothing of an earlier one is sent with it.
/context TEXT          the input that goes with prompts; without TEXT it is taken away
/settings key=value …  decoding, e.g. /settings temperature=0.7 seed=1; without values they are shown
/prompt [TEXT]         the prompt as each model got it last, or would get TEXT
/help                  this
/quit                  ends; so does Ctrl-D. Ctrl-C stops an answer"""


class TerminalChat:
    """A conversation in a terminal.

    Parameters
    ----------
    speakers : sequence of Speaker
        The models.
    decoding : DecodingSettings
        The settings to begin with.
    console : Console
        Where answers are printed.
    """

    def __init__(self, speakers: Sequence[Speaker], decoding: DecodingSettings, console: Console) -> None:
        self.speakers, self.decoding, self.console = list(speakers), decoding, console
        self.context = self.last = ""
        self.commands: dict[str, Callable[[str], None]] = {
            "/context": self._set_context,
            "/settings": self._set_decoding,
            "/prompt": self._show_prompt,
            "/help": lambda _: self._say(HELP),
        }

    def run(self) -> None:
        """Read lines until /quit or the end of the input."""
        self._say(
            f"Models: {', '.join(speaker.card.label for speaker in self.speakers)}. /help lists the commands."
        )
        for line in self._lines():
            if line.split(maxsplit=1)[:1] == ["/quit"]:
                return
            try:
                self._do(line)
            except ShepherdError as error:
                self._say(str(error), style="red")

    def _lines(self) -> Iterator[str]:
        while True:
            try:
                # Not the console's own: line editing has to know how wide the sign before the line is.
                line = input("> " if sys.stdin.isatty() else "").strip()
                line.encode()  # some locales let bytes of no character through
                yield line
            except EOFError:
                return
            except UnicodeError:
                raise ShepherdError(
                    "A line of standard input is not UTF-8 text; write it in UTF-8."
                ) from None
            except KeyboardInterrupt:
                self._say("\nCtrl-D or /quit ends the chat.", style="dim")

    def _do(self, line: str) -> None:
        if not line:
            self._say("Write a prompt, or /help.", style="dim")
        elif line.startswith("/"):
            name, _, rest = line.partition(" ")
            if name not in self.commands:
                raise ShepherdError(f"There is no command {name}{nearest(name, [*self.commands, '/quit'])}.")
            self.commands[name](rest.strip())
        else:
            self.last = line
            self._ask(line)

    def _ask(self, instruction: str) -> None:
        exchange = Exchange.begin(self.speakers, instruction, self.context, self.decoding)
        stop, printer = threading.Event(), _Printer(self.console)
        with _interrupt_sets(stop):
            for number, turn in in_turn(ask(self.speakers, exchange, stop)):
                printer.show(number, turn)
        if stop.is_set():
            self._say("Stopped.", style="dim")

    def _set_context(self, text: str) -> None:
        self.context = text
        self._say(
            f"The context is {counted(len(text), 'character')} long now."
            if text
            else "There is no context now."
        )

    def _set_decoding(self, text: str) -> None:
        changes = {}
        for part in text.split():
            key, equals, value = part.partition("=")
            if not equals:
                raise ShepherdError(f"'{part}' is no setting; write key=value, e.g. temperature=0.7.")
            changes[key] = None if value in ("none", "off") else value
        self.decoding = checked(DecodingSettings, {**self.decoding.model_dump(), **changes}, "Decoding")
        self._say(f"Decoding: {in_words(self.decoding)}")

    def _show_prompt(self, text: str) -> None:
        instruction = text or self.last
        if not instruction:
            raise ShepherdError("Nothing has been asked yet; ask something first, or give /prompt TEXT.")
        for speaker in self.speakers:
            sent = speaker.send(instruction, self.context, self.decoding.max_new_tokens)
            self._heading(speaker.card.label)
            self._say(sent.text)
            self._say(sent.note, style="dim")

    def _heading(self, label: str) -> None:
        self.console.print(f"\n[bold]{escape(label)}[/bold]", highlight=False)

    def _say(self, text: str, style: str = "") -> None:
        self.console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


class _Printer:
    """Prints what is new in growing answers, under their models' names."""

    def __init__(self, console: Console) -> None:
        self.console, self.number, self.printed = console, -1, ""

    def show(self, number: int, turn: Turn) -> None:
        """Print what this part of the conversation has more than the one before."""
        if number != self.number:
            self.number, self.printed = number, ""
            self.console.print(f"\n[bold]{escape(turn.label)}[/bold]", highlight=False)
        self._continue(turn.speech.text)
        if turn.trouble:
            self._print(turn.trouble, style="red")
        elif turn.speech.end:
            self._print("" if turn.speech.text == self.printed else f"\n{turn.speech.text}")
            self._print(turn.note, style="dim")

    def _continue(self, text: str) -> None:
        # What was printed stays; a tokenizer that changes its mind about a space is waited for.
        if text.startswith(self.printed):
            self._print(text.removeprefix(self.printed), end="")
            self.printed = text

    def _print(self, text: str, style: str = "", end: str = "\n") -> None:
        self.console.print(text, style=style, end=end, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _interrupt_sets(stop: threading.Event) -> Iterator[None]:
    """Let Ctrl-C stop the answer instead of the chat."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
