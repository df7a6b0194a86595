"""One prompt put to every model, and what came back: what the page and the terminal both show.

Every prompt stands alone: adapters are tuned on single turns, so nothing of an earlier one is sent.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from shepherd.chat.speech import Speech, speak
from shepherd.errors import ShepherdError

if TYPE_CHECKING:
    from shepherd.chat.models import Sent, Speaker
    from shepherd.evaluation.decoding import DecodingSettings

_NOTHING = Speech()


@dataclass(frozen=True)
class Turn:
    """One model's part.

    Attributes
    ----------
    label, source : str
        The model.
    sent : Sent, optional
        The prompt as it got it; None before it was its turn.
    speech : Speech
        Its answer so far.
    trouble : str
        Why it could not answer; ``""`` where nothing is wrong.
    """

    label: str
    source: str
    sent: Sent | None = None
    speech: Speech = _NOTHING
    trouble: str = ""

    @property
    def note(self) -> str:
        """What there is to say about the answer, in words; ``""`` before its turn."""
        if self.trouble or self.sent is None:
            return self.trouble
        return f"{self.speech.summary} {self.sent.note}"

    def to_dict(self) -> dict[str, Any]:
        """Return the part as plain values."""
        return {
            "model": self.label,
            "source": self.source,
            "prompt": self.sent.text if self.sent else None,
            "answer": self.speech.text,
            "tokens": self.speech.tokens,
            "end": self.speech.end,
            **({"trouble": self.trouble} if self.trouble else {}),
        }


@dataclass(frozen=True)
class Exchange:
    """A prompt and everybody's part, in the models' order."""

    instruction: str
    context: str
    decoding: DecodingSettings
    turns: tuple[Turn, ...]

    @classmethod
    def begin(
        cls, speakers: Sequence[Speaker], instruction: str, context: str, decoding: DecodingSettings
    ) -> Exchange:
        """Return it with nothing answered yet."""
        silent = tuple(Turn(speaker.card.label, speaker.card.source) for speaker in speakers)
        return cls(instruction, context, decoding, silent)

    def with_turn(self, number: int, turn: Turn) -> Exchange:
        """Return it with one model's part so far."""
        return replace(self, turns=(*self.turns[:number], turn, *self.turns[number + 1 :]))

    @property
    def settings(self) -> str:
        """The decoding settings in words."""
        return in_words(self.decoding)

    def to_line(self) -> str:
        """Return it as a line of JSON, without its end."""
        values = {
            "instruction": self.instruction,
            "context": self.context,
            "decoding": self.decoding.model_dump(mode="json"),
            "answers": [turn.to_dict() for turn in self.turns],
        }
        return json.dumps(values, ensure_ascii=False)


def ask(speakers: Sequence[Speaker], exchange: Exchange, stop: threading.Event) -> list[Iterator[Turn]]:
    """Return every model's part of an exchange, which grows as it is asked for: `in_turn`, or `side_by_side`.

    Setting `stop` ends the answers being given; a model that has not begun is not asked. One that fails says so
    in its part.
    """
    return [_part(speaker, exchange, stop) for speaker in speakers]


def _part(speaker: Speaker, exchange: Exchange, stop: threading.Event) -> Iterator[Turn]:
    if stop.is_set():
        return
    turn = Turn(speaker.card.label, speaker.card.source)
    try:
        room = exchange.decoding.max_new_tokens
        sent = speaker.send(exchange.instruction, exchange.context, room)
        turn = replace(turn, sent=sent)
        yield turn
        for speech in speak(speaker, sent.tokens, exchange.decoding, stop):
            turn = replace(turn, speech=speech)
            yield turn
    except ShepherdError as error:
        yield replace(turn, trouble=str(error))


def in_turn(parts: Sequence[Iterator[Turn]]) -> Iterator[tuple[int, Turn]]:
    """Yield (the model's number, its part so far), one model after another."""
    for number, part in enumerate(parts):
        for turn in part:
            yield number, turn


def side_by_side(parts: Sequence[Iterator[Turn]]) -> Iterator[tuple[int, Turn]]:
    """Yield (the model's number, its part so far), a breath of each model and then of the next."""
    going = dict(enumerate(parts))
    while going:
        for number, part in list(going.items()):
            turn = next(part, None)
            if turn is None:
                del going[number]
            else:
                yield number, turn


def in_words(decoding: DecodingSettings) -> str:
    """Return decoding settings in words, such as ``temperature 0.7, top p 0.9, …``."""
    words = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in decoding.effective().items())
    return f"{words} (greedy)" if decoding.greedy else words
