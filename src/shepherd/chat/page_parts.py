"""The page's small pieces of HTML. What a model or a user wrote is text in them, never markup."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from shepherd.chat.exchange import Exchange, Turn

#: Of a prompt, the longest heading, in characters.
_HEADING = 100


def model_heading(label: str, about: str) -> str:
    """Return the head of a model's column."""
    return f'<h2>{escape(label)}</h2><p class="about-model">{escape(about)}</p>'


def state(text: str, hint: bool = False) -> str:
    """Return the line that says what goes on, which is read out as it changes; a hint stands out."""
    kind = ' class="hint"' if hint else ""
    return f'<div role="status" aria-live="polite"><span{kind}>{escape(text)}</span></div>'


def answer(turn: Turn) -> str:
    """Return an answer as far as it goes, and what there is to say about it."""
    speaking = " speaking" if turn.sent and not turn.speech.end and not turn.trouble else ""
    return (
        f"{_scrolled(f'Answer of {turn.label}', 'answer' + speaking, turn.speech.text)}"
        f'<p class="{"trouble" if turn.trouble else "note"}">{escape(turn.note)}</p>'
    )


def sent(turn: Turn) -> str:
    """Return the prompt as a model got it."""
    text = turn.sent.text if turn.sent else "Nothing has been asked yet."
    return _scrolled(f"Prompt as sent to {turn.label}", "sent", text)


def _scrolled(name: str, kind: str, text: str) -> str:
    # Whoever has no mouse scrolls what can be focused.
    return f'<div class="{kind}" role="region" tabindex="0" aria-label="{escape(name)}">{escape(text)}</div>'


def log(exchanges: Sequence[Exchange]) -> str:
    """Return all that was asked and answered, the newest first."""
    return "".join(_entry(exchange) for exchange in reversed(exchanges))


def _entry(exchange: Exchange) -> str:
    asked = [text for text in (exchange.instruction, exchange.context) if text.strip()]
    texts = "".join(f'<p class="said">{escape(text)}</p>' for text in asked)
    answers = "".join(_answer(turn) for turn in exchange.turns)
    return (
        f"<details><summary>{escape(_heading(exchange.instruction))}</summary>{texts}"
        f'<p class="settings">{escape(exchange.settings)}</p><div class="answers">{answers}</div></details>'
    )


def _heading(text: str) -> str:
    return text if len(text) <= _HEADING else text[: _HEADING - 1] + "…"


def _answer(turn: Turn) -> str:
    return (
        f'<section><h3>{escape(turn.label)}</h3><p class="said">{escape(turn.speech.text)}</p>'
        f'<p class="note">{escape(turn.note)}</p></section>'
    )
