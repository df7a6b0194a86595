"""What a rater is shown: one answer, or two side by side, without a word on whose they are.

An item is the same whenever it is drawn again for the same rater: its name, and which answer comes first, depend on
what is in it and not on what else is on the sheet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from shepherd.errors import ShepherdError
from shepherd.randomness import generator
from shepherd.study.directory import Study
from shepherd.study.questions import Question, drawn

# No vowels, so that no name is a word; no digits, so that no spreadsheet takes one for a number or a date.
_LETTERS = "bcdfghjkmnpqrstvwxyz"
_LENGTH = 10


@dataclass(frozen=True)
class Item:
    """One thing to rate, and who is behind it.

    Attributes
    ----------
    id : str
        Its name on the sheet: ten letters.
    rater : str
        For whom it was drawn.
    question : str
        The question's id.
    model, reference : str
        The labels; the latter is ``""`` where the answer is rated by itself.
    swapped : bool
        Whether the reference's answer is A.
    shown : str
        SHA-256 of the texts: a rating of other answers than the model's present ones is not taken for one of these.
    """

    id: str
    rater: str
    question: str
    model: str
    reference: str
    swapped: bool
    shown: str

    @property
    def labels(self) -> tuple[str, ...]:
        """Whose answers are shown, A first."""
        if not self.reference:
            return (self.model,)
        return (self.reference, self.model) if self.swapped else (self.model, self.reference)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Item:
        """Return the item that `to_dict` wrote."""
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the item as plain values."""
        return asdict(self)


class Material:
    """The texts of a study, read once.

    Parameters
    ----------
    study : Study
        The study.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        self.questions: dict[str, Question] = {question.id: question for question in study.questions()}
        self._answers = cache(lambda label: study.answers(label) if label in study.models() else {})

    def has_answers(self, question: str, labels: Sequence[str]) -> bool:
        """Say whether all of these models have answered a question."""
        return all(question in self._answers(label) for label in labels)

    def answers(self, question: str, labels: Sequence[str]) -> tuple[str, ...]:
        """Return the models' answers to a question."""
        return tuple(self._answers(label)[question].answer for label in labels)

    def digest(self, question: str, labels: Sequence[str]) -> str:
        """Return the SHA-256 of a question and these answers to it; ``""`` if one is not there."""
        if question not in self.questions or not self.has_answers(question, labels):
            return ""
        asked = self.questions[question]
        return _digest(asked.instruction, asked.context, *self.answers(question, labels))


@dataclass(frozen=True)
class Draw:
    """The items of a sheet in a rater's own order.

    Attributes
    ----------
    items : list of Item
        The items.
    unanswered : int
        Questions drawn that are left out, since not every model has answered them.
    """

    items: list[Item]
    unanswered: int


def draw(
    material: Material,
    models: Sequence[str],
    reference: str = "",
    count: int | None = None,
    seed: int = 0,
    rater: str = "me",
) -> Draw:
    """Return every model's answers to the same questions, shuffled for a rater.

    Parameters
    ----------
    material : Material
        The study's texts.
    models : sequence of str
        Labels of the models to rate.
    reference : str
        The label every model is shown beside; ``""`` shows each answer by itself.
    count : int, optional
        How many questions to draw, the same for every rater; all unless told.
    seed : int
        Decides which questions, and with the rater which order.
    rater : str
        The rater's name.

    Raises
    ------
    ShepherdError
        If there is nothing to show.
    """
    others = [model for model in dict.fromkeys(models) if model != reference]
    if not others:
        raise ShepherdError(
            f"There is nothing to rate beside '{reference}'; name another model that has answered."
            if reference
            else "There is nothing to rate: no model has answered; run `shepherd answer` first."
        )
    labels = [*others, reference] if reference else others
    # Drawn first, and from all, so that answers that come later change nothing about who rates what.
    asked = list(material.questions.values())
    asked = asked if count is None else drawn(asked, count, seed)
    answered = [question.id for question in asked if material.has_answers(question.id, labels)]
    if not answered:
        raise ShepherdError(f"No question has answers of all of {', '.join(labels)}; name fewer models.")
    items = [
        _item(material, question, model, reference, seed, rater) for question in answered for model in others
    ]
    order = generator(seed, "sheet", rater).permutation(len(items))
    return Draw([items[place] for place in order], len(asked) - len(answered))


def _item(material: Material, question: str, model: str, reference: str, seed: int, rater: str) -> Item:
    shown = material.digest(question, [model, reference] if reference else [model])
    swapped = bool(reference) and bool(
        generator(seed, "sheet", rater, question, model, reference).integers(2)
    )
    name = _name(_digest(str(seed), rater, question, model, reference, shown))
    return Item(name, rater, question, model, reference, swapped, shown)


def is_current(item: Item, material: Material) -> bool:
    """Say whether an item shows the answers that the models have given last."""
    labels = [item.model, item.reference] if item.reference else [item.model]
    return material.digest(item.question, labels) == item.shown


def _digest(*texts: str) -> str:
    return hashlib.sha256("\x1f".join(texts).encode("utf-8", "replace")).hexdigest()


def _name(digest: str) -> str:
    number = int(digest, 16)
    return "".join(_LETTERS[number // len(_LETTERS) ** place % len(_LETTERS)] for place in range(_LENGTH))
