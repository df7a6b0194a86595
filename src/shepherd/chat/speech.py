"""One answer as it is spoken: the text so far, then whole, and why it ended.

This file knows tokens and time. It knows neither pages nor terminals, nor where a model comes from.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from shepherd.errors import ShepherdError, first_line
from shepherd.evaluation.continuation import continued, end_tokens
from shepherd.units import duration

if TYPE_CHECKING:
    from shepherd.chat.models import Speaker
    from shepherd.evaluation.decoding import DecodingSettings

End = Literal["ended", "cut", "stopped"]
#: So long a model speaks before another one on the same base may, in seconds.
_BREATH_S = 0.08
_ENDS: dict[End, str] = {"ended": "ended by itself", "cut": "cut at the most allowed", "stopped": "stopped"}
_HALF_A_CHARACTER = "\ufffd"


@dataclass(frozen=True)
class Speech:
    """An answer, at one moment of it.

    Attributes
    ----------
    text : str
        What has been said so far, without what surrounds it.
    tokens : int
        Tokens generated, the end of sequence included.
    seconds : float
        Spent on it, without the time other models spoke.
    end : str, optional
        None while it speaks; ``ended`` by itself, ``cut`` at the most tokens allowed, or ``stopped``.
    """

    text: str = ""
    tokens: int = 0
    seconds: float = 0.0
    end: End | None = None

    @property
    def summary(self) -> str:
        """The figures in words."""
        figures = f"{self.tokens:,} {'token' if self.tokens == 1 else 'tokens'} in {duration(self.seconds)}"
        return f"{figures}, {_ENDS[self.end]}." if self.end else f"{figures} …"


def speak(
    speaker: Speaker, prompt: Sequence[int], decoding: DecodingSettings, stop: threading.Event
) -> Iterator[Speech]:
    """Yield a model's answer as it grows; the last one is the only one with an `end`.

    The model is held for a breath at a time, so that others can speak in between.

    Parameters
    ----------
    speaker : Speaker
        Who answers.
    prompt : sequence of int
        What it is asked, in tokens.
    decoding : DecodingSettings
        How tokens are chosen; draws are keyed by the seed alone, so that it repeats the answer.
    stop : Event
        Once it is set, the answer stays as it is.

    Raises
    ------
    ShepherdError
        If the model fails, with what it said.
    """
    stream = continued(speaker.model, [prompt], ["chat"], decoding)
    tokens, seconds, end = list[int](), 0.0, None
    while end is None:
        begun = time.perf_counter()
        more = _breath(speaker, stream)
        tokens, seconds = [*tokens, *more], seconds + time.perf_counter() - begun
        end = _end(speaker, tokens, decoding) or ("stopped" if stop.is_set() else None)
        text = _text(speaker, tokens)
        yield Speech(text if end else text.rstrip(_HALF_A_CHARACTER), len(tokens), seconds, end)


def _breath(speaker: Speaker, stream: Iterator[dict[int, int]]) -> list[int]:
    """Take tokens for a breath's time, one at least, or until the stream ends."""
    found, until = list[int](), time.monotonic() + _BREATH_S
    try:
        with speaker.speaking():
            for said in stream:
                found.append(said[0])
                if time.monotonic() >= until:
                    break
    except Exception as error:  # a model's own code can raise anything
        raise ShepherdError(
            f"{speaker.card.label} cannot answer ({first_line(error)}); shorten the prompt or the answer."
        ) from error
    return found


def _end(speaker: Speaker, tokens: Sequence[int], decoding: DecodingSettings) -> End | None:
    if tokens and tokens[-1] in end_tokens(speaker.model):
        return "ended"
    return "cut" if len(tokens) >= decoding.max_new_tokens else None


def _text(speaker: Speaker, tokens: Sequence[int]) -> str:
    spoken = tokens[:-1] if tokens[-1:] and tokens[-1] in end_tokens(speaker.model) else tokens
    return speaker.model.tokenizer.decode(spoken, skip_special_tokens=True).strip()
