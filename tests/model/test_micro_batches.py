from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shepherd.model.batch import Example
from shepherd.model.micro_batches import plan


def loaded(examples: list[tuple[list[int], int]]) -> list[Example]:
    return [(np.array(tokens, dtype=np.uint16), unlabelled) for tokens, unlabelled in examples]


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
    groups = plan([loaded(examples)], budget, cost)
    parts = [part for group in groups for (part,) in group.parts]
    assert sorted(np.concatenate(parts)) == list(range(len(examples)))
    for group in groups:
        length = len(group.prefix)
        for (part,) in group.parts:
            for row in part:
                tokens, unlabelled = examples[row]
                assert tokens[:length] == group.prefix.tolist()
                assert length == 0 or length < unlabelled
            longest = max(len(examples[row][0]) - length for row in part)
            assert len(part) == 1 or len(part) * longest <= budget
    if cost is None:
        assert all(len(group.prefix) == 0 for group in groups)


@given(
    clients=st.lists(st.lists(one_example, min_size=1, max_size=8), min_size=2, max_size=4),
    budget=st.integers(1, 60),
    cost=st.none() | st.integers(0, 10),
)
def test_clients_that_go_together_each_have_all_their_rows_in_it(
    clients: list[list[tuple[list[int], int]]], budget: int, cost: int | None
) -> None:
    (group,) = plan([loaded(own) for own in clients], budget, cost)
    for number, own in enumerate(clients):
        assert sorted(np.concatenate([part[number] for part in group.parts])) == list(range(len(own)))
        for tokens, unlabelled in own:
            assert tokens[: len(group.prefix)] == group.prefix.tolist()
            assert len(group.prefix) == 0 or len(group.prefix) < unlabelled
    for part in group.parts:
        rows = max(map(len, part))
        longest = max(
            len(own[row][0]) - len(group.prefix)
            for own, rows in zip(clients, part, strict=True)
            for row in rows
        )
        assert rows == 1 or rows * len(clients) * longest <= budget
    assert cost is not None or len(group.prefix) == 0


def test_prompts_that_grow_and_grow_are_planned_too() -> None:
    examples = loaded([([1] * length + [2, 2], length + 1) for length in range(1, 1500)])
    groups = plan([examples], 10_000, 4)
    assert sum(len(part) for group in groups for (part,) in group.parts) == 1499


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
    groups = plan([loaded(examples)], 1, cost)
    found = sum(
        (sum(len(part) for (part,) in group.parts) - 1) * len(group.prefix) - cost
        for group in groups
        if len(group.prefix)
    )
    assert found == most
