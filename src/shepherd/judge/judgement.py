"""What a judge said of one answer, or of two side by side."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

#: ``scores``: 1 to 10 for each of two answers. ``verdict``: which of two is better. ``single``: 1 to 10 for one.
Form = Literal["scores", "verdict", "single"]
Winner = Literal["model", "reference", "tie"]


@dataclass(frozen=True)
class Judgement:
    """One rating.

    Attributes
    ----------
    form : str
        How the judge was asked: ``scores``, ``verdict`` or ``single``.
    question : str
        The question's id.
    model, reference : str
        The labels of the model judged and of what it is judged against; the latter is ``""`` in single grading.
    swapped : bool
        Whether the reference's answer was shown first.
    rating : int
        Which of the ratings of the same question, pair and order, from 0.
    score, reference_score : float, optional
        1 to 10; None where the form gives none, or the reply could not be read.
    winner : str, optional
        ``model``, ``reference`` or ``tie``: of a verdict as said, of scores by which is larger; None of single grading
        and of what could not be read.
    reason : str
        The judge's words, behind the scores or before the verdict; what it said at all, where that could not be read.
    readable : bool
        Whether the reply was in the form asked for.
    reply : str
        The key of the reply this was read from, in the judge's `replies.jsonl`.
    """

    form: Form
    question: str
    model: str
    reference: str
    swapped: bool
    rating: int
    score: float | None
    reference_score: float | None
    winner: Winner | None
    reason: str
    readable: bool
    reply: str

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Judgement:
        """Return the judgement that `to_dict` wrote."""
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the judgement as plain values."""
        return asdict(self)
