"""What is to be judged: which models against which, on which questions, how often; and the ratings this makes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from shepherd.judge.judgement import Form
from shepherd.settings import Settings


class Rating(NamedTuple):
    """One rating that is asked for.

    Attributes
    ----------
    question, model, reference, form, swapped, rating
        As in `Judgement`.
    """

    question: str
    model: str
    reference: str
    form: Form
    swapped: bool
    rating: int


class Comparison(Settings):
    """A model judged against a reference.

    Attributes
    ----------
    form : str
        ``scores``, ``verdict`` or ``single``.
    model, reference : str
        Their labels in the study; the reference of single grading is ``""``.
    questions : tuple of str
        The questions' ids.
    ratings : int
        How often the same is asked.
    swap : bool
        Whether the pair is shown in both orders.
    """

    form: Form
    model: str
    reference: str
    questions: tuple[str, ...]
    ratings: int
    swap: bool

    def all_ratings(self) -> Iterator[Rating]:
        """Yield every rating this asks for."""
        for question in self.questions:
            for swapped in (False, True) if self.swap else (False,):
                for number in range(self.ratings):
                    yield Rating(question, self.model, self.reference, self.form, swapped, number)

    def covers(self, other: Comparison) -> bool:
        """Say whether every rating that `other` asks for is one of these."""
        return (
            (self.form, self.model, self.reference) == (other.form, other.model, other.reference)
            and set(self.questions) >= set(other.questions)
            and self.ratings >= other.ratings
            and self.swap >= other.swap
        )


def joined(old: Sequence[Comparison], new: Iterable[Comparison]) -> list[Comparison]:
    """Return comparisons that together ask for everything `old` and `new` do, none of them superfluous."""
    kept = list(old)
    for comparison in new:
        if not any(other.covers(comparison) for other in kept):
            kept = [other for other in kept if not comparison.covers(other)] + [comparison]
    return kept


def ratings_of(comparisons: Iterable[Comparison], places: Mapping[str, int]) -> list[Rating]:
    """Return what comparisons ask for, each rating once, in the order of question, model, order and rating.

    Parameters
    ----------
    comparisons : iterable of Comparison
        They may overlap.
    places : mapping of str to int
        Every question's place in the study.
    """
    asked = {rating for comparison in comparisons for rating in comparison.all_ratings()}
    return sorted(asked, key=lambda rating: (places[rating.question], *rating[1:]))
