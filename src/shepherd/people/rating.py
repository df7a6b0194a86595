"""What people said, unblinded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shepherd.judge.judgement import Winner
from shepherd.people.filled import read_sheet
from shepherd.people.items import Item, Material, is_current
from shepherd.people.keys import read_keys
from shepherd.people.sheet import Row
from shepherd.study.directory import Study


@dataclass(frozen=True)
class HumanRating:
    """One person's rating of one answer, or of two side by side.

    Attributes
    ----------
    rater : str
        The person's name in the study.
    question : str
        The question's id.
    model, reference : str
        The labels; the latter is ``""`` where the answer was rated by itself.
    score : float
        1 to 10, of the model's answer.
    reference_score : float, optional
        1 to 10; None where there is no reference.
    winner : str, optional
        ``model``, ``reference`` or ``tie``, by which score is larger; None where there is no reference.
    comment : str
        The person's words.
    """

    rater: str
    question: str
    model: str
    reference: str
    score: float
    reference_score: float | None
    winner: Winner | None
    comment: str


def raters(study: Study) -> list[str]:
    """Return the names of those who have a sheet, sorted."""
    return [path.stem for path in _sheets(study)]


def ratings(study: Study) -> list[HumanRating]:
    """Return every finished rating of the answers that the models have given last, by rater, in their sheets' order.

    Raises
    ------
    ShepherdError
        If a sheet or a key is damaged.
    """
    material, keys = Material(study), read_keys(study)
    return [
        _unblinded(rater, row, keys[row.item])
        for rater, row in _finished(study, keys)
        if is_current(keys[row.item], material)
    ]


def outdated(study: Study) -> int:
    """Return how many finished ratings are of answers that a model has since given anew; they are left out."""
    material, keys = Material(study), read_keys(study)
    return sum(not is_current(keys[row.item], material) for _, row in _finished(study, keys))


def _sheets(study: Study) -> list[Path]:
    return sorted(p for p in (study.path / "ratings").glob("*.csv") if not p.name.startswith((".", "~")))


def _finished(study: Study, keys: dict[str, Item]) -> Iterator[tuple[str, Row]]:
    for path in _sheets(study):
        yield from ((path.stem, row) for row in read_sheet(path, keys).values() if row.is_rated)


def _unblinded(rater: str, row: Row, item: Item) -> HumanRating:
    said = {label: score for label, score in zip(item.labels, row.scores, strict=True) if score is not None}
    score, other = said[item.model], said.get(item.reference)
    winner: Winner | None = None
    if other is not None:
        winner = "model" if score > other else "reference" if score < other else "tie"
    return HumanRating(rater, item.question, item.model, item.reference, score, other, winner, row.comment)
