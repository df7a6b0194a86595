"""Fixtures shared by all tests: real data and models, where there are any."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data sets and models; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("SHEPHERD_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no shared data in {folder}; set SHEPHERD_SHARED")
    return folder


@pytest.fixture(scope="session")
def lamb() -> Path:
    """The base model shipped with Shepherd."""
    folder = ROOT / "src" / "shepherd" / "assets" / "lamb"
    if not (folder / "tokenizer.json").is_file():
        pytest.skip(f"the embedded base model is not in {folder}")
    return folder


@pytest.fixture(scope="session")
def tokenizer(lamb: Path) -> Any:
    """The tokenizer of the base model shipped with Shepherd."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(lamb)
