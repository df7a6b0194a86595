from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shepherd.data.encoding import EncodedExamples
from shepherd.model.micro_batches import plan


def stored(examples: list[tuple[list[int], int]]) -> EncodedExamples:
    offsets = np.concatenate([[0], np.cumsum([len(tokens) for tokens, _ in examples])])
    tokens = np.array([token for tokens, _ in examples for token in tokens], dtype=np.uint16)
    return EncodedExamples(tokens, offsets, np.array([unlabelled for _, unlabelled in examples]), 0, "")


#: Few different tokens, so that prefixes are shared; 258 = 2 + 256 has a byte in common with 2.
one_example = st.lists(st.sampled_from([1, 2, 258]), min_size=1, max_size=9).flatmap(
    lambda tokens: st.tuples(st.just(tokens), st.integers(0, len(tokens)))
)


@given(
    examples=st.lists(one_example, min_size=1, max_size=20),
    budget=st.integers(1, 60),
    cost=st.none() | st.integers(0, 10),
)
def test_every_row_is_computed_once_behind_its_own_prefix(
    examples: list[tuple[list[int], int]], budget: int, cost: int | None
) -> None:
    rows = np.arange(len(examples))[::-1]
    groups = plan(stored(examples), rows, budget, cost)
    parts = [part for group in groups for part in group.parts]
    assert sorted(np.concatenate(parts)) == list(range(len(rows)))
    for group in groups:
        length = len(group.prefix)
        for part in group.parts:
            for row in rows[part]:
                tokens, unlabelled = examples[row]
                assert tokens[:length] == group.prefix.tolist()
                assert length == 0 or length < unlabelled
            longest = max(len(examples[row][0]) - length for row in rows[part])
            assert len(part) == 1 or len(part) * longest <= budget
    if cost is None:
        assert all(len(group.prefix) == 0 for group in groups)


def test_prompts_that_grow_and_grow_are_planned_too() -> None:
    examples = stored([([1] * length + [2, 2], length + 1) for length in range(1, 1500)])
    groups = plan(examples, np.arange(1499), 10_000, 4)
    assert sum(len(part) for group in groups for part in group.parts) == 1499


def partitions(items: list[int]) -> Iterator[list[list[int]]]:
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for smaller in partitions(rest):
        yield [[first], *smaller]
        for i, group in enumerate(smaller):
            yield [*smaller[:i], [first, *group], *smaller[i + 1 :]]


@settings(max_examples=60)
@given(examples=st.lists(one_example, min_size=1, max_size=6), cost=st.integers(0, 6))
def test_no_other_grouping_saves_more_tokens(examples: list[tuple[list[int], int]], cost: int) -> None:
    def saved(members: list[int]) -> int:
        prompts = [examples[row][0][: max(examples[row][1] - 1, 0)] for row in members]
        length = 0
        while len({tuple(p[: length + 1]) for p in prompts}) == 1 and length < min(map(len, prompts)):
            length += 1
        return max(0, (len(members) - 1) * length - cost)

    most = max(sum(map(saved, groups)) for groups in partitions(list(range(len(examples)))))
    groups = plan(stored(examples), np.arange(len(examples)), 1, cost)
    found = sum(
        (len(np.concatenate(group.parts)) - 1) * len(group.prefix) - cost
        for group in groups
        if len(group.prefix)
    )
    assert found == most
