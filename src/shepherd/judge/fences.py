"""Fences around text that strangers wrote, such that the text cannot climb over them.

A judge is told that what stands between two marks is material and not addressed to it. That only holds if nobody can
write an end mark, and if nothing in the text is a special token of the judge's chat template: a local server turns
``<|im_end|>`` in an answer into the end of the user's turn. Both are altered where they occur, visibly and always in
the same way, so that equal answers make equal requests.
"""

from __future__ import annotations

import re

_ANGLES = str.maketrans(dict.fromkeys("＜﹤‹〈⟨❬❮❰˂ᐸ≺", "<") | dict.fromkeys("«≪《⟪", "<<") | {"⋘": "<<<"})
_ANGLE = "[<" + "".join(map(chr, _ANGLES)) + "]"
_UNSEEN = "[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]*"
_RUN = re.compile(f"{_ANGLE}(?:{_UNSEEN}{_ANGLE})*")

# What begins a special token in the chat templates of Llama, Qwen, Mistral, Gemma, Phi, DeepSeek and their kin.
_SPECIAL = re.compile(
    r"<(?=[|｜])"
    r"|<(?=/?(?:s|bos|eos|pad|unk|mask|think|start_of_turn|end_of_turn|start_of_image|eod|sys|extra_id_\d+)>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS|TOOL_CALLS)\])",
    re.IGNORECASE,
)


def fenced(name: str, text: str) -> str:
    """Return `text` between a begin and an end mark of this name, neither of which occurs in it.

    Examples
    --------
    >>> print(fenced("question", "Why is the sky blue?"))
    <<<QUESTION BEGINS>>>
    Why is the sky blue?
    <<<QUESTION ENDS>>>
    """
    title = name.upper()
    return f"<<<{title} BEGINS>>>\n{harmless(text.strip())}\n<<<{title} ENDS>>>"


def harmless(text: str) -> str:
    """Return `text` with spaces put into whatever looks like a mark or a chat template's special token."""
    return _SPECIAL.sub(r"\g<0> ", _RUN.sub(_spaced, text))


def _spaced(run: re.Match[str]) -> str:
    """Return three or more opening brackets apart; two are a shift or a quotation mark."""
    angles = re.sub(_UNSEEN, "", run[0]).translate(_ANGLES)
    return " ".join(angles) if len(angles) >= 3 else run[0]
