from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shepherd.data.holdout import Categories, File, Fraction, Holdout, HoldoutChoice, NoHoldout, PerCategory
from shepherd.data.instructions import Instructions, read_instructions
from shepherd.errors import ShepherdError


def table(**sizes: int) -> Instructions:
    """Instructions of the given categories, interleaved; column ``id`` is the row's place."""
    order = [name for number in range(max(sizes.values())) for name in sizes if number < sizes[name]]
    rows = [
        {"instruction": f"{n}", "context": "", "responses": ["x"], "category": name, "id": n}
        for n, name in enumerate(order)
    ]
    return Instructions(datasets.Dataset.from_list(rows), "f.jsonl")


def split(holdout: Holdout, instructions: Instructions, seed: int = 0) -> tuple[list[int], list[int]]:
    train, test = holdout.split(instructions, seed)
    return train.column("id"), test.column("id")


def partitions(train: list[int], test: list[int], rows: int) -> bool:
    return sorted(train + test) == list(range(rows)) and train == sorted(train) and test == sorted(test)


@given(a=st.integers(4, 9), b=st.integers(4, 9), count=st.integers(1, 3), seed=st.integers(0, 2**40))
@settings(max_examples=30)
def test_per_category_partitions(a: int, b: int, count: int, seed: int) -> None:
    instructions = table(a=a, b=b)
    train, test = PerCategory(count=count).split(instructions, seed)
    assert partitions(train.column("id"), test.column("id"), a + b)
    assert sorted(test.categories()) == ["a"] * count + ["b"] * count


@given(rows=st.integers(2, 40), fraction=st.floats(0, 1, exclude_min=True, exclude_max=True))
@settings(max_examples=30)
def test_fraction_partitions(rows: int, fraction: float) -> None:
    train, test = split(Fraction(fraction=fraction), table(a=rows))
    assert partitions(train, test, rows)
    assert len(test) == min(max(round(rows * fraction), 1), rows - 1)


def test_categories_are_whole() -> None:
    instructions = table(a=5, b=4, c=3)
    train, test = Categories(categories=["c", "a"]).split(instructions, 0)
    assert set(train.categories()) == {"b"}
    assert sorted(test.categories()) == ["a"] * 5 + ["c"] * 3
    assert partitions(train.column("id"), test.column("id"), 12)


def test_categories_subsampled() -> None:
    instructions = table(a=9, b=9)
    train, test = Categories(categories=["a"], count=3).split(instructions, 0)
    assert set(train.categories()) == {"b"}
    assert test.categories().tolist() == ["a"] * 3
    assert test.column("id") == sorted(test.column("id"))


def test_file(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    path.write_text(json.dumps({"q": "a", "a": "b"}))
    train, test = File(path=str(path), columns={"instruction": "q", "response": "a"}).split(table(a=3), 0)
    assert (len(train), test.column("responses")) == (3, [["b"]])


def test_none() -> None:
    assert split(NoHoldout(), table(a=3)) == ([0, 1, 2], [])


@pytest.mark.parametrize("holdout", [PerCategory(count=3), Fraction(), Categories(categories=["a"], count=3)])
def test_the_seed_decides(holdout: Holdout) -> None:
    instructions = table(a=40, b=40)
    assert split(holdout, instructions, 1) == split(holdout, instructions, 1)
    assert split(holdout, instructions, 1) != split(holdout, instructions, 2)


def test_a_category_draws_for_itself() -> None:
    alone = PerCategory(count=3).split(table(a=20), 0)[1].column("instruction")
    beside = PerCategory(count=3).split(table(a=20, b=20), 0)[1]
    assert [
        int(n) // 2 for n, c in zip(beside.column("id"), beside.categories(), strict=True) if c == "a"
    ] == [int(n) for n in alone]


@pytest.mark.parametrize(
    ("holdout", "message"),
    [
        (PerCategory(count=3), "category 'b' has 3 rows, too few to hold out 3"),
        (Categories(categories=["bb"]), "no category 'bb' to hold out"),
        (Categories(categories=["a", "b"]), "takes every category"),
        (Categories(categories=["b"], count=4), "have 3 rows, not 4"),
        (File(path="./nowhere.jsonl"), "There is no file"),
    ],
)
def test_what_cannot_be_split_is_refused(holdout: Holdout, message: str) -> None:
    with pytest.raises(ShepherdError, match=message):
        holdout.split(table(a=5, b=3), 0)


def test_one_row_cannot_be_divided() -> None:
    with pytest.raises(ShepherdError, match="has 1 row, too few"):
        Fraction().split(table(a=1), 0)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "per_category", "count": 0},
        {"name": "fraction", "fraction": 0},
        {"name": "fraction", "fraction": 1},
        {"name": "fraction", "fraction": float("nan")},
        {"name": "categories"},
        {"name": "categories", "categories": []},
        {"name": "categories", "categories": ["a"], "count": 0},
        {"name": "file"},
        {"name": "none", "count": 1},
        {"name": "per_categry"},
    ],
)
def test_bad_settings_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        pydantic.TypeAdapter(HoldoutChoice).validate_python(fields)


def test_config_names_a_holdout() -> None:
    choice = pydantic.TypeAdapter(HoldoutChoice)
    assert choice.validate_python("none") == NoHoldout()
    assert choice.validate_python({"count": 3}) == PerCategory(count=3)


def test_dolly(shared: Path) -> None:
    dolly = read_instructions(str(shared / "data" / "databricks-dolly-15k.jsonl"))
    train, test = PerCategory().split(dolly, 0)
    assert (len(train), len(test)) == (15_011 - 80, 80)
