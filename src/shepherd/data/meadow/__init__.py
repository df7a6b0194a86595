"""meadow: a small instruction set that Shepherd makes itself, in Dolly's eight categories.

Real enough to be read with pleasure, small enough to be learnt by `lamb` in about a minute; every category asks
for an answer of its own form, so that a client that holds one of them knows little of the others.
"""

from __future__ import annotations

from shepherd.data.meadow.tasks import TASKS, Example
from shepherd.randomness import generator

__all__ = ["meadow"]

#: Draws in a row that may bring nothing new before a category counts as used up.
_PATIENCE = 2000


def meadow(rows: int = 4000, seed: int = 0) -> list[dict[str, str]]:
    """Make instructions.

    Parameters
    ----------
    rows : int
        How many, spread evenly over the categories.
    seed : int
        Another seed makes other instructions.

    Returns
    -------
    list of dict
        ``instruction``, ``context`` (may be empty), ``response`` and ``category``; shuffled, and no pair of
        instruction and context comes twice.

    Raises
    ------
    ValueError
        If so many different ones cannot be made.
    """
    made = []
    for number, category in enumerate(TASKS):
        share = rows // len(TASKS) + (number < rows % len(TASKS))
        made += [
            {"instruction": instruction, "context": context, "response": response, "category": category}
            for instruction, context, response in _distinct(category, share, seed)
        ]
    order = generator(seed, "meadow", "order").permutation(len(made))
    return [made[i] for i in order]


def _distinct(category: str, count: int, seed: int) -> list[Example]:
    draw = generator(seed, "meadow", category)
    found: dict[tuple[str, str], Example] = {}
    failures = 0
    while len(found) < count:
        example = TASKS[category](draw)
        before = len(found)
        found.setdefault(example[:2], example)
        failures = failures + 1 if len(found) == before else 0
        if failures > _PATIENCE:
            raise ValueError(
                f"meadow can make about {len(found)} different rows of {category}; ask for fewer"
            )
    return list(found.values())
