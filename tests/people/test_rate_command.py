"""`shepherd rate`: what it prints, and that every mistake is one sentence and exit code 2."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from shepherd.study.directory import Study


@pytest.fixture
def rate(shepherd: Any) -> Any:
    """Runs `shepherd rate`."""
    return partial(shepherd, "rate")


def test_the_command_from_sheet_to_agreement(rate: Any, study: Study) -> None:
    at = ("--study", study.path)
    code, said, _ = rate("runs/federated", "--against", "chatgpt", "--count", 3, "--sheet", *at)
    sheet = study.path / "ratings" / "me.csv"
    assert code == 0
    assert f"{sheet} has 3 items" in said
    code, said, _ = rate("--read", sheet, *at)
    assert "0 items rated, 3 not rated; kept in" in said
    text = sheet.read_text("utf-8-sig").replace('"","",""', '"4","6","hm"')
    sheet.write_text(text, encoding="utf-8-sig")
    assert "3 items rated, 0 not rated" in rate("--read", sheet, *at)[1]
    code, said, _ = rate("--agreement", *at)
    assert code == 0
    assert "federated / chatgpt" in said
    assert "No judge has rated what people rated" in said


def test_the_command_serves_until_it_is_stopped(rate: Any, study: Study, monkeypatch: Any) -> None:
    def stop(self: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("shepherd.people.page.RatingServer.serve_forever", stop)
    code, said, _ = rate("--study", study.path, "--rater", "anna")
    assert code == 0
    assert "Rate at http://127.0.0.1:" in said
    assert "0 of 18 items rated" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sheet", "--page"], "Give one of --page, --sheet, --read and --agreement"),
        (["--agreement"], "no finished ratings"),
        (["--read", "nothing.csv"], "There is no sheet nothing.csv"),
        (["federatde"], "has no answers of 'federatde'; did you mean 'federated'?"),
        (["chatgpt", "--against", "chatgpt"], "nothing to rate beside 'chatgpt'"),
        (["--rater", "../x"], "--rater is '../x'"),
        (["--count", "99", "--sheet"], "There are 6 questions, not 99"),
    ],
)
def test_mistakes_are_one_sentence(rate: Any, study: Study, arguments: list[str], said: str) -> None:
    code, _, errors = rate("--study", study.path, *arguments)
    assert code == 2
    assert said in errors
    assert errors.count("\n") == 1
