"""Finished runs of a second each, and questions in files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shepherd.config import parse_config
from shepherd.runs import execute
from tiny_runs import tiny_values


def config_of(base: Path, root: Path, name: str, **changes: Any) -> dict[str, Any]:
    quick = {"rounds": 1, "allocation": {"name": "iid", "clients": 3}, "evaluation": {"answers": 0}}
    return tiny_values(base, root, name, **{**quick, **changes})


@pytest.fixture(scope="session")
def made_runs(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`a`, its untuned baseline, and `other`, of another seed and so of another hold-out."""
    root = tmp_path_factory.mktemp("made") / "runs"
    execute(parse_config(config_of(tiny_base, root, "a")))
    execute(parse_config(config_of(tiny_base, root, "other", seed=1)))
    untuned = config_of(tiny_base, root / "a" / "baselines", "untuned", rounds=0)
    execute(parse_config(untuned))
    return root


@pytest.fixture
def runs(made_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of them as `runs` in the working directory, to do anything with."""
    shutil.copytree(made_runs, tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return Path("runs")


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes rows as JSON lines."""

    def write(rows: list[dict[str, Any]], name: str = "questions.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write
