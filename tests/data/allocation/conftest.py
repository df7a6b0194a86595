from collections.abc import Callable, Sequence

import datasets
import pytest

from shepherd.data.instructions import Instructions

Build = Callable[..., Instructions]


def _build(categories: Sequence[str], **columns: Sequence[object]) -> Instructions:
    rows = range(len(categories))
    table = datasets.Dataset.from_dict(
        {
            "instruction": [f"instruction {i}" for i in rows],
            "context": [""] * len(categories),
            "responses": [[f"response {i}"] for i in rows],
            "category": list(categories),
            **columns,
        }
    )
    return Instructions(table, "made-up.jsonl")


@pytest.fixture(scope="session")
def build() -> Build:
    """Make instructions with the given categories, one row each, and extra columns."""
    return _build
