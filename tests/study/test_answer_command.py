"""`shepherd answer` as it is typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fake_server import FakeServer
from shepherd.study.directory import Study
from shepherd.study.questions import Question

Shepherd = Callable[..., tuple[int, str, str]]
ROWS = [
    {"question_id": n, "category": "ab"[n % 2], "turns": [f"What is {n}?"], "reference": "x"}
    for n in range(1, 9)
]


@pytest.fixture
def questions(runs: Path, written: Callable[..., Path]) -> Path:
    return written(ROWS, "asked.jsonl")


def test_runs_baselines_and_models_answer_a_file(
    shepherd: Shepherd, questions: Path, tiny_base: Path
) -> None:
    fixed = ("--max-new-tokens", 4)
    code, out, err = shepherd(
        "answer", "runs/a", f"base={tiny_base}", "--with-baselines", "--questions", questions, *fixed
    )
    assert (code, err) == (0, "")
    study = Study(Path("studies/asked"))
    assert study.models() == ["a", "a/untuned", "base"]
    assert [len(study.answers(label)) for label in study.models()] == [8, 8, 8]
    assert study.about()["source"] == str(questions)
    assert "8 of 8" in out
    assert "one base" not in out
    assert f"`shepherd judge --study {study.path} --against a/untuned --model JUDGE`" in out
    # The questions need not be named again, and other settings are refused.
    assert shepherd("answer", "other=runs/other", "--study", study.path, *fixed)[0] == 0
    assert len(study.answers("other")) == 8
    code, _, err = shepherd("answer", "runs/a", "--max-new-tokens", 5)
    assert code == 2
    assert "max_new_tokens=4, not 5" in err


def test_the_holdout_and_a_share_of_it(shepherd: Shepherd, runs: Path) -> None:
    arguments = ("answer", "runs/a", "--questions", "holdout", "--count", 5, "--max-new-tokens", 2)
    assert shepherd(*arguments)[0] == 0
    study = Study(Path("studies/holdout-a"))
    questions = study.questions()
    assert len(questions) == 5
    assert len({q.category for q in questions}) == 5
    assert all(answer.loss is not None for answer in study.answers("a").values())
    code, _, err = shepherd("answer", "runs/other", "--study", study.path)
    assert code == 2
    assert "hold out different questions" in err
    code, _, err = shepherd("answer", "runs/a", "--questions", "holdout", "--count", 6)
    assert code == 2
    assert "choose another --study" in err


def test_other_bases_are_said(shepherd: Shepherd, runs: Path, questions: Path, lamb: Path) -> None:
    arguments = ("answer", "runs/a", "lamb", "--questions", questions, "--count", 2, "--max-new-tokens", 2)
    code, out, _ = shepherd(*arguments)
    assert code == 0
    assert "not all tuned from one base" in out


def test_an_endpoint_beside_a_run(
    shepherd: Shepherd, questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "a-secret")
    with FakeServer(lambda body: "Said.", key="a-secret") as server:
        code, _, err = shepherd(
            "answer", "runs/a", "ChatGPT=endpoint:gpt", "--questions", questions, "--max-new-tokens", 2,
            "--base-url", server.url, "--key-variable", "MY_KEY",
        )  # fmt: skip
    assert (code, err) == (0, "")
    study = Study(Path("studies/asked"))
    assert study.models() == ["ChatGPT", "a"]
    assert {a.answer for a in study.answers("ChatGPT").values()} == {"Said."}
    assert not any("a-secret" in p.read_text() for p in study.path.rglob("*.json*"))


def test_an_endpoint_without_a_key_is_refused_before_anything_is_asked(
    shepherd: Shepherd, questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    code, _, err = shepherd("answer", "runs/a", "endpoint:gpt", "--questions", questions)
    assert code == 2
    assert "OPENAI_API_KEY" in err
    assert not Path("studies").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["runs/b"], "There is no run or model runs/b"),
        (["runs/a", "a=runs/other"], "both be called 'a'"),
        (["runs/a", "--top-p", "0.9"], "add a --temperature"),
        (["runs/a", "--temperature", "1", "--top-p", "2"], "top_p"),
        (["runs/a", "--columns", "instruction"], "--columns takes PART=COLUMN"),
        (["runs/a", "--count", "9"], "8 questions, not 9"),
        (["runs/a", "runs/other", "--questions", "holdout"], "hold out different questions"),
        (["lamb", "--questions", "holdout"], "name at least one run"),
        (["runs/a", "--questions", "gone.jsonl"], "There is no file gone.jsonl"),
    ],
)
def test_mistakes_are_one_sentence(
    shepherd: Shepherd, questions: Path, arguments: list[str], sentence: str
) -> None:
    asked = [] if "--questions" in arguments else ["--questions", questions]
    code, _, err = shepherd("answer", *arguments, *asked)
    assert code == 2
    assert sentence in err
    assert "Traceback" not in err
    assert err.count("\n") == 1


def test_a_study_that_is_not_there_yet(shepherd: Shepherd, runs: Path) -> None:
    code, _, err = shepherd("answer", "runs/a", "--study", "studies/new")
    assert code == 2
    assert "say what to ask: --questions" in err
    code, _, err = shepherd("answer", "runs/a")
    assert code == 2
    assert "There is no study in studies/ yet" in err
    assert "--questions FILE" in err
    assert "--questions holdout" in err
    for name in ("one", "two"):
        Study(Path("studies") / name).begin([Question("1", "", "Why?")], "here")
    code, _, err = shepherd("answer", "runs/a")
    assert code == 2
    assert "Say which study goes on with --study (studies/one or studies/two), or begin one" in err


def test_duplicates(shepherd: Shepherd, runs: Path, written: Callable[..., Path]) -> None:
    path = written([*ROWS, ROWS[2]])
    code, _, err = shepherd("answer", "runs/a", "--questions", path)
    assert code == 2
    assert f"{path}:9 has the same question_id '3' as {path}:3" in err
    assert json.loads(path.read_text().splitlines()[8])["question_id"] == 3
