"""Questions that models are asked: a checked list, whether from a file, a run's hold-out, or Vicuna's eighty."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes
    ----------
    id : str
        Its name, unique among the questions of a study.
    category : str
        The kind of question; ``""`` where nothing is said.
    instruction, context : str
        What is asked, and the text it is asked about (``""`` for none).
    references : list of str
        Acceptable answers; none where the file has none.
    fields : dict
        The file's other columns, such as ``language``, ``domain``, ``task``: what answers can be grouped by.
    """

    id: str
    category: str
    instruction: str
    context: str = ""
    references: list[str] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Question:
        """Return the question that `to_dict` wrote."""
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the question as plain values."""
        return asdict(self)


def fingerprint(questions: Sequence[Question]) -> str:
    """Return the SHA-256 of the questions, in order, in hex."""
    digest = hashlib.sha256()
    for question in questions:
        digest.update(json.dumps(question.to_dict(), sort_keys=True).encode() + b"\n")
    return digest.hexdigest()
