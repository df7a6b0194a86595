"""What a refused command says."""

from __future__ import annotations


def refusal(result: tuple[int, str, str]) -> str:
    """The one sentence of a refused command."""
    code, _, errors = result
    said = [line for line in errors.splitlines() if line.startswith("shepherd: ")]
    assert code == 2, errors
    assert len(said) == 1
    assert "Traceback" not in errors
    return said[0]
