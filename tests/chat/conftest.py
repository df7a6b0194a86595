"""Two runs on one base and one whose adapter has another rank, made once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shepherd.chat.models import Speaker, open_speakers
from shepherd.config import parse_config
from shepherd.runs import execute


@pytest.fixture(scope="session")
def chat_runs(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The folders of the runs `one`, `two` and `wide`."""
    root = tmp_path_factory.mktemp("chat") / "runs"
    common: dict[str, Any] = {
        "rounds": 1,
        "model": {"base": str(tiny_base)},
        "data": {
            "rows": 48,
            "prompt": "plain",
            "max_tokens": 64,
            "holdout": {"name": "per_category", "count": 1},
        },
        "allocation": {"name": "iid", "clients": 2},
        "participation": {"name": "random", "count": 1},
        "training": {"lr": 1e-1, "batch_size": 4},
        "evaluation": {"answers": 0, "metrics": ["loss"]},
    }
    made = {}
    for name, seed, rank in (("one", 0, 2), ("two", 1, 2), ("wide", 2, 3)):
        place = {"root": str(root), "name": name, "threads": 1}
        values = {**common, "seed": seed, "adapter": {"name": "lora", "rank": rank}, "run": place}
        made[name] = str(execute(parse_config(values)).directory)
    return made


@pytest.fixture(scope="session")
def speakers(chat_runs: dict[str, str]) -> list[Speaker]:
    """The base, `one` and `two`."""
    return open_speakers([chat_runs["one"], chat_runs["two"]])
