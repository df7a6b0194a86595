"""FedIT's Tables 4 and 5: what each model answers to the same held-out questions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

from shepherd.report.record import Record
from shepherd.units import is_number

Answer = dict[str, Any]

_LONGEST = 1200


@dataclass(frozen=True)
class Question:
    """A held-out question with every model's answer.

    Attributes
    ----------
    category, instruction, context, reference : str
        The example, and the answer its author gave.
    answers : list of (str, str, float or None)
        Label, answer and its ROUGE-L against the reference; the federated model's is the last.
    """

    category: str
    instruction: str
    context: str
    reference: str
    answers: list[tuple[str, str, float | None]]


def side_by_side(records: Sequence[Record], most: int = 6) -> list[Question]:
    """Return questions of as many categories as possible, answered by every model that answered them.

    Parameters
    ----------
    records : sequence of Record
        The models; the first (the federated one) decides which questions there are.
    most : int
        Questions to return at most.

    Notes
    -----
    The choice does not look at the answers: of each category in turn, the first held-out row; rows that
    every answering model answered come before the others.
    """
    by_model = [(record.label, {a.get("row"): a for a in record.answers()}) for record in records]
    answering = [(label, answers) for label, answers in by_model if answers]
    if not by_model or not by_model[0][1]:
        return []
    chosen = _spread(list(by_model[0][1].values()), [answers for _, answers in answering])
    return [_question(answer, answering) for answer in chosen[:most]]


def _spread(asked: list[Answer], answering: list[dict[Any, Answer]]) -> list[Answer]:
    """Return all questions, the first of each category, then the second of each, and so on."""
    ordered = sorted(asked, key=lambda a: sum(a.get("row") not in answers for answers in answering))
    groups: dict[str, list[Answer]] = defaultdict(list)
    for answer in ordered:
        groups[str(answer.get("category", ""))].append(answer)
    turns = zip_longest(*(groups[name] for name in sorted(groups)))
    return [answer for answer in chain.from_iterable(turns) if answer is not None]


def _question(asked: Answer, answering: Sequence[tuple[str, dict[Any, Answer]]]) -> Question:
    given = [(label, answers.get(asked.get("row"))) for label, answers in (*answering[1:], answering[0])]
    references = asked.get("references") or [""]
    return Question(
        category=str(asked.get("category") or ""),
        instruction=_shortened(asked.get("instruction")),
        context=_shortened(asked.get("context")),
        reference=_shortened(references[0]),
        answers=[(label, _shortened(a.get("answer")), _score(a)) for label, a in given if a is not None],
    )


def _score(answer: Answer) -> float | None:
    score = answer.get("rouge_l")
    return float(score) if score is not None and is_number(score) else None


def _shortened(text: object) -> str:
    words = "" if text is None else str(text).strip()
    return words if len(words) <= _LONGEST else words[:_LONGEST].rstrip() + " …"
