"""Hold-outs: the instructions set aside before any client sees one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from shepherd.data.instructions import Instructions, read_instructions
from shepherd.errors import ShepherdError
from shepherd.randomness import generator
from shepherd.settings import nearest
from shepherd.strategy import Strategy, one_of


class Holdout(Strategy):
    """What is set aside to test on; rows keep the file's order on both sides."""

    def split(self, instructions: Instructions, seed: int) -> tuple[Instructions, Instructions]:
        """Return what to train on and what to test on.

        Parameters
        ----------
        instructions : Instructions
            Everything that was read.
        seed : int
            The run's seed.

        Raises
        ------
        ShepherdError
            If the instructions cannot be split so.
        """
        raise NotImplementedError


class PerCategory(Holdout):
    """The same number of rows from every category, drawn at random.

    Attributes
    ----------
    count : int
        Rows of each category to set aside.
    """

    name: Literal["per_category"] = "per_category"
    count: int = Field(default=10, gt=0)

    def split(self, instructions: Instructions, seed: int) -> tuple[Instructions, Instructions]:
        """Set `count` rows of every category aside."""
        for category, rows in zip(*np.unique(instructions.categories(), return_counts=True), strict=True):
            if rows <= self.count:
                raise ShepherdError(
                    f"{instructions.source}: the category '{category}' has {rows} rows, too few to hold "
                    f"out {self.count} and train on the rest; lower the holdout's count."
                )
        test = np.zeros(len(instructions), dtype=bool)
        test[_rows_per_category(instructions, self.count, seed)] = True
        return _divide(instructions, test)


class Fraction(Holdout):
    """A share of all rows, drawn at random.

    Attributes
    ----------
    fraction : float
        The share to set aside, in (0, 1); rounded to rows, with at least one on each side.
    """

    name: Literal["fraction"] = "fraction"
    fraction: float = Field(default=0.1, gt=0, lt=1)

    def split(self, instructions: Instructions, seed: int) -> tuple[Instructions, Instructions]:
        """Set a share of the rows aside."""
        rows = len(instructions)
        if rows < 2:
            raise ShepherdError(f"{instructions.source} has {rows} row, too few to hold one out; give more.")
        count = min(max(round(rows * self.fraction), 1), rows - 1)
        test = np.zeros(rows, dtype=bool)
        test[generator(seed, "holdout").choice(rows, count, replace=False)] = True
        return _divide(instructions, test)


class Categories(Holdout):
    """Whole categories: tasks no client has ever seen (FedHDS, arXiv 2410.10926, section 5).

    Attributes
    ----------
    categories : list of str
        The categories nobody trains on.
    count : int or None
        Test on so many of their rows, drawn at random; on all of them if None.
    """

    name: Literal["categories"] = "categories"
    categories: Annotated[list[str], Field(min_length=1, examples=["[summarization]"])]
    count: int | None = Field(default=None, gt=0)

    def split(self, instructions: Instructions, seed: int) -> tuple[Instructions, Instructions]:
        """Set the categories aside."""
        found = instructions.categories()
        known = [str(category) for category in np.unique(found)]
        for category in self.categories:
            if category not in known:
                hint = nearest(category, known)
                raise ShepherdError(f"{instructions.source} has no category '{category}' to hold out{hint}.")
        test = np.isin(found, self.categories)
        if test.all():
            raise ShepherdError("The holdout takes every category; leave at least one to train on.")
        rest, unseen = _divide(instructions, test)
        return rest, self._drawn(unseen, seed)

    def _drawn(self, unseen: Instructions, seed: int) -> Instructions:
        if self.count is None:
            return unseen
        if self.count > len(unseen):
            raise ShepherdError(
                f"The held-out categories have {len(unseen)} rows, not {self.count}; "
                "lower the holdout's count."
            )
        rows = generator(seed, "holdout").choice(len(unseen), self.count, replace=False)
        return unseen.select(np.sort(rows))


class File(Holdout):
    """A file (or hub name) of its own; everything else is trained on.

    Attributes
    ----------
    path : str
        As `shepherd.data.instructions.read_instructions` takes it.
    columns : dict of str to str, or None
        Its column mapping, where the layout is not recognised.
    per_category : int or None
        Test on so many rows of each category, drawn at random, or on all that a smaller one has; on everything if
        None.
    """

    name: Literal["file"] = "file"
    path: str = Field(min_length=1, examples=["held-out.jsonl"])
    columns: dict[str, str] | None = None
    per_category: int | None = Field(default=None, gt=0)

    def split(self, instructions: Instructions, seed: int) -> tuple[Instructions, Instructions]:
        """Train on all of `instructions`, test on the file."""
        return instructions, self.read(seed)

    def read(self, seed: int) -> Instructions:
        """Return what the file holds, or a drawing of it."""
        test = read_instructions(self.path, self.columns)
        if self.per_category is None:
            return test
        return test.select(np.sort(_rows_per_category(test, self.per_category, seed)))


class NoHoldout(Holdout):
    """Nothing is set aside, and nothing is tested on."""

    name: Literal["none"] = "none"

    def split(self, instructions: Instructions, seed: int) -> tuple[Instructions, Instructions]:
        """Train on everything."""
        return _divide(instructions, np.zeros(len(instructions), dtype=bool))


#: The config field ``data.holdout``: one of these, or a dotted path to another.
HoldoutChoice: Any = one_of(Holdout, PerCategory, Fraction, Categories, File, NoHoldout)


def _rows_per_category(instructions: Instructions, count: int, seed: int) -> np.ndarray:
    """Draw `count` rows of every category, or all that a smaller one has."""
    categories, drawn = instructions.categories(), []
    for category in np.unique(categories):
        rows = np.flatnonzero(categories == category)
        draw = generator(seed, "holdout", str(category))
        drawn.append(draw.choice(rows, min(count, len(rows)), replace=False))
    return np.concatenate(drawn)


def _divide(instructions: Instructions, test: np.ndarray) -> tuple[Instructions, Instructions]:
    return instructions.select(np.flatnonzero(~test)), instructions.select(np.flatnonzero(test))
