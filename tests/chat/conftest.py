"""Two runs on one base and one whose adapter has another rank, made once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shepherd.chat.models import Speaker, open_speakers
from shepherd.config import parse_config
from shepherd.runs import execute
from tiny_runs import tiny_values


@pytest.fixture(scope="session")
def chat_runs(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The folders of the runs `one`, `two` and `wide`."""
    root = tmp_path_factory.mktemp("chat") / "runs"
    quick: dict[str, Any] = {
        "rounds": 1,
        "allocation": {"name": "iid", "clients": 2},
        "training": {"lr": 1e-1, "batch_size": 4},
        "evaluation": {"answers": 0, "metrics": ["loss"]},
    }
    made = {}
    for name, seed, rank in (("one", 0, 2), ("two", 1, 2), ("wide", 2, 3)):
        adapter = {"name": "lora", "rank": rank}
        values = tiny_values(tiny_base, root, name, **quick, seed=seed, adapter=adapter)
        made[name] = str(execute(parse_config(values)).directory)
    return made


@pytest.fixture(scope="session")
def speakers(chat_runs: dict[str, str]) -> list[Speaker]:
    """The base, `one` and `two`."""
    return open_speakers([chat_runs["one"], chat_runs["two"]])
