from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from shepherd.config import parse_config
from shepherd.progress import RunProgress
from shepherd.runs import execute


def shown(tiny: dict[str, Any], terminal: bool) -> str:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=120)
    with RunProgress(console, "a run") as progress:
        execute(parse_config(tiny), observers=[progress])
    return screen.getvalue()


def test_a_terminal_sees_bars_and_a_table(tiny: dict[str, Any]) -> None:
    said = shown(tiny, terminal=True)
    assert "held-out loss" in said
    assert "clients of round 3" in said
    assert "3/3" in said
    assert "left" in said
    assert "ROUGE-L" not in said  # a column of what this run does not measure would stay empty


def test_a_file_gets_one_line_a_round(tiny: dict[str, Any]) -> None:
    lines = shown(tiny, terminal=False).splitlines()
    assert [line.split(",")[0] for line in lines] == [f"a run: round {number}" for number in range(4)]
    assert "tokens/s" in lines[-1]
