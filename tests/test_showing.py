"""Where sentences go beside a document: never into it."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from shepherd.cli.showing import say_beside


@pytest.mark.parametrize(
    ("form", "output", "printed"),
    [
        ("table", None, True),
        ("csv", Path("scores.csv"), True),
        ("csv", None, False),
        ("markdown", None, False),
        ("html", None, False),
    ],
)
def test_a_document_on_standard_output_has_it_to_itself(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    form: str,
    output: Path | None,
    printed: bool,
) -> None:
    monkeypatch.setattr("shepherd.cli.terminal.out", Console(width=160))
    monkeypatch.setattr("shepherd.cli.terminal.err", Console(width=160, stderr=True))
    say_beside(form, output, "The picture is here.")
    out, err = capfd.readouterr()
    assert (out, err)[not printed] == "The picture is here.\n"
    assert (out, err)[printed] == ""
