"""README.md says what a run leaves behind."""

from __future__ import annotations

import re
from pathlib import Path

from shepherd.config import parse_config
from shepherd.runs import execute
from tiny_runs import tiny_values

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_readme_names_all_that_a_run_leaves_behind(tiny_base: Path, tmp_path: Path) -> None:
    listed = re.search(r"^runs/<name>/\n(.*?)```", README, flags=re.DOTALL | re.MULTILINE)
    assert listed is not None
    named = {line.split()[0].rstrip("/") for line in listed[1].splitlines()}
    config = parse_config(
        tiny_values(tiny_base, tmp_path, rounds=1, coreset={"name": "fedhds", "smallest_group": 2})
    )
    execute(config)
    left = {path.name for path in config.run.directory.iterdir()}
    assert {"allocation.json", "selection.json"} <= left
    assert left - named == {".lock"}
