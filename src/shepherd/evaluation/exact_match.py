"""Exact match of an answer with one of its references, as SQuAD defines it (arXiv 1606.05250, section 6.1)."""

from __future__ import annotations

from collections.abc import Sequence

from shepherd.evaluation.words import bare_words


def exact_match(answer: str, references: Sequence[str]) -> float:
    """Return 1 if the answer is one of the references, but for case, punctuation and spacing; otherwise 0.

    Notes
    -----
    SQuAD also drops the English articles a, an and the. They are kept here: "a" is a word of its own in Spanish, French
    or Portuguese, and groups by language are compared under one rule. On English text this can only be the stricter.
    """
    return float(any(comparable(answer) == comparable(reference) for reference in references))


def comparable(text: str) -> list[str]:
    """Return the words that are compared; a text of signs only, such as ``+`` or an emoji, stands for itself."""
    return bare_words(text) or text.split()
