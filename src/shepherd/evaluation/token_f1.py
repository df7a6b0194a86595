"""F1 over the words that an answer shares with a reference, as SQuAD defines it (arXiv 1606.05250, section 6.1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from shepherd.evaluation.exact_match import comparable


def token_f1(answer: str, references: Sequence[str]) -> float:
    """Return the best F1 over the references, in [0, 1]; words are compared as in `exact_match`, their order is not."""
    return max(_f1(comparable(answer), comparable(reference)) for reference in references)


def _f1(answer: list[str], reference: list[str]) -> float:
    if not answer or not reference:
        return float(answer == reference)
    shared = sum((Counter(answer) & Counter(reference)).values())
    return 2 * shared / (len(answer) + len(reference))
