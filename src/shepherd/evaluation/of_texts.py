"""What an answer's text alone is scored by, against the right answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from shepherd.evaluation.exact_match import exact_match
from shepherd.evaluation.rouge import rouge_l
from shepherd.evaluation.token_f1 import token_f1

#: Each takes an answer and every right one, and returns 0 to 1.
OF_TEXTS: Mapping[str, Callable[[str, Sequence[str]], float]] = {
    "rouge_l": rouge_l,
    "exact_match": exact_match,
    "token_f1": token_f1,
}
