"""ROUGE-L F1 of an answer against one or several references, with the rouge-score library."""

from __future__ import annotations

from collections.abc import Sequence

from rouge_score.rouge_scorer import RougeScorer

from shepherd.evaluation.words import words


# The library's own tokenizer keeps ASCII only and would score every other script 0. On ASCII text this
# one gives the same words.
class _WordTokenizer:
    def tokenize(self, text: str) -> list[str]:
        """Return a text's words."""
        return words(text)


_SCORER = RougeScorer(["rougeL"], tokenizer=_WordTokenizer())


def rouge_l(answer: str, references: Sequence[str]) -> float:
    """Return the best ROUGE-L F1 over the references, in [0, 1]; an empty answer scores 0."""
    return max(_SCORER.score(reference, answer)["rougeL"].fmeasure for reference in references)
