"""`shepherd judge`: what it prints, and that every mistake is one sentence and exit code 2."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from small_study import by_worth, make_study, worths

from fake_server import FakeServer, hanging, page, truncated
from refusals import refusal
from shepherd.study.directory import Study


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "SHEPHERD_JUDGE_MODEL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def call(shepherd: Any) -> Any:
    """Runs `shepherd judge`."""
    return partial(shepherd, "judge")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(
        tmp_path / "study", {"base": ["5"] * 4, "tuned": ["8", "7", "6", "5"], "other": ["2"] * 4}
    )


def test_a_study_is_judged_recomputed_and_never_paid_twice(
    call: Any, study: Study, server: FakeServer
) -> None:
    arguments = ("--against", "base", "--model", "judge-1", "--base-url", server.url, "--study", study.path)
    code, printed, errors = call(*arguments, "--price-in", 1000, "--price-out", 1000)
    assert (code, errors) == (0, "")
    assert "48 calls" in printed
    assert "0.77 USD" in printed  # 48 · (10 + 6 tokens) at 1,000 USD a million
    assert "26.0" in printed  # tuned: 8 + 7 + 6 + 5
    assert "shepherd report" in printed
    assert {body["temperature"] for body in server.calls} == {0.2}
    written = (study.judge_path("judge-1") / "judgements.jsonl").read_bytes()
    code, printed, _ = call(*arguments)
    assert code == 0
    assert "Nothing was asked" in printed
    assert len(server.calls) == 48
    code, printed, _ = call("--recompute", "--study", study.path)
    assert code == 0
    assert "48 judgements of judge-1 were read again" in printed
    assert (study.judge_path("judge-1") / "judgements.jsonl").read_bytes() == written


def test_model_and_address_may_come_from_the_environment(
    call: Any, study: Study, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHEPHERD_JUDGE_MODEL", "org/judge:2")
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    code, _, _ = call("tuned", "--against", "base", "--ratings", 1, "--study", study.path)
    assert code == 0
    assert study.judges() == ["org_judge_2"]
    assert {body["model"] for body in server.calls} == {"org/judge:2"}


def test_more_questions_include_fewer_and_cost_the_difference(
    call: Any, study: Study, server: FakeServer
) -> None:
    arguments = ("tuned", "--against", "base", "--model", "judge-1", "--base-url", server.url, "--ratings", 1)
    for count, calls in ((2, 4), (3, 6), (2, 6)):
        code, printed, _ = call(*arguments, "--count", count, "--study", study.path)
        assert code == 0
        assert len(server.calls) == calls
        shown = next(line for line in printed.splitlines() if line.split()[:1] == ["tuned"])
        assert shown.split()[1] == str(count)
    assert len(study.judgements("judge-1")) == 6
    said = refusal(call(*arguments, "--count", 5, "--study", study.path))
    assert "There are 4 questions, not 5" in said


def test_unreadable_replies_are_reported_with_what_was_said(
    call: Any, study: Study, server: FakeServer
) -> None:
    server.answer = lambda body: "I [b]cannot[/b] say." if worths(body)[0] == "8" else by_worth(body)
    code, printed, _ = call(
        "tuned",
        "--against",
        "base",
        "--model",
        "judge-1",
        "--base-url",
        server.url,
        "--ratings",
        1,
        "--study",
        study.path,
    )
    assert code == 0
    assert "1 of 8 ratings could not be read, asked 3 times each" in printed
    assert "“I [b]cannot[/b] say.”" in printed


def test_what_cannot_be_read_is_asked_again_as_often_as_is_said(
    call: Any, study: Study, server: FakeServer
) -> None:
    server.answer = lambda body: "ten out of ten"
    arguments = ("tuned", "--against", "base", "--model", "judge-1", "--base-url", server.url, "--ratings", 1)
    said = refusal(call(*arguments, "--one-order", "--retries", 0, "--study", study.path))
    assert "4 of 4 ratings by judge-1 could not be read, asked once each" in said
    assert len(server.calls) == 4
    assert "has the retries 0, not 2" in refusal(call(*arguments, "--study", study.path))
    assert "4 of 4 ratings by judge-1" in refusal(call("--recompute", "--study", study.path))


def test_a_judge_that_can_never_be_read_is_reported_as_such(
    call: Any, study: Study, server: FakeServer
) -> None:
    server.answer = lambda body: "ten out of ten"
    for form in ("scores", "verdict", "single"):
        said = refusal(
            call(
                "tuned", "--against", "base", "--model", "judge-1", "--base-url", server.url, "--form", form,
                "--ratings", 1, "--study", study.path,
            )
        )  # fmt: skip
        assert "8 of 8 ratings by judge-1 could not be read, asked 3 times each" in said
        assert f"another --form than {form}" in said


def test_a_dry_run_needs_no_key_and_asks_nothing(call: Any, study: Study) -> None:
    code, printed, _ = call("--against", "base", "--model", "gpt-4o", "--study", study.path, "--dry-run")
    assert code == 0
    assert "48 ratings, 0 of them given and paid for already: 48 calls" in printed
    assert "--price-in" in printed
    assert study.judges() == []


def test_a_study_without_a_key_is_refused(call: Any, study: Study) -> None:
    said = refusal(call("--against", "base", "--model", "gpt-4o", "--study", study.path))
    assert "OPENAI_API_KEY" in said


@pytest.mark.parametrize("canned", [hanging, page, truncated])
def test_an_endpoint_that_answers_nonsense_is_one_sentence(
    call: Any, study: Study, server: FakeServer, canned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shepherd.endpoint.patience.Patience.before", _at_once)
    server.answer = lambda body: canned()
    said = refusal(
        call(
            "tuned", "--against", "base", "--model", "judge-1", "--base-url", server.url, "--ratings", 1,
            "--timeout", 0.5, "--study", study.path,
        )
    )  # fmt: skip
    assert server.url in said
    assert study.judgements("judge-1") == []


async def _at_once(self: object, key: str, attempt: int) -> None:
    """Wait for nothing between attempts."""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--against", "base"], "Say who judges"),
        (["--model", "m"], "name a model with --against"),
        (["--model", "m", "--against", "nobody"], "has no answers of 'nobody'"),
        (["nobody", "--model", "m", "--against", "base"], "has no answers of 'nobody'"),
        (["base", "--model", "m", "--against", "base"], "against itself"),
        (["--model", "m", "--against", "base", "--temperature", "3"], "temperature"),
        (["--model", "m", "--against", "base", "--price-in", "3"], "price"),
        (["--model", "m", "--against", "base", "--judge-name", "../x"], "cannot name a judge"),
        (["--model", "m", "--against", "base", "--prompt", "none.txt"], "No such file"),
        (["--recompute"], "has no judge yet"),
        (["--recompute", "--model", "m"], "has no judge 'm'"),
    ],
)
def test_mistakes(call: Any, study: Study, arguments: list[str], says: str) -> None:
    said = refusal(call(*arguments, "--study", study.path))
    assert says in said


def test_a_password_in_an_address_is_not_repeated(call: Any, study: Study) -> None:
    said = refusal(
        call(
            "--model",
            "m",
            "--against",
            "base",
            "--base-url",
            "https://me:hunter2@host/v1",
            "--study",
            study.path,
        )
    )
    assert "hunter2" not in said
    assert "base_url" in said


def test_a_judge_of_the_family_is_warned_about(call: Any, study: Study) -> None:
    _, printed, _ = call("--against", "base", "--model", "tiny-70b", "--study", study.path, "--dry-run")
    assert "same family as 'other', 'tuned', 'base'" in printed
