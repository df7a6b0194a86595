from __future__ import annotations

import io
import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from shepherd.errors import ShepherdError
from shepherd.study import vicuna
from shepherd.study.questions import read_questions

LINES = [{"question_id": n, "category": "generic", "turns": [f"{n}?"]} for n in range(1, 4)]
TEXT = "".join(json.dumps(line) + "\n" for line in LINES)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv(vicuna.VARIABLE, raising=False)
    return tmp_path


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three questions are Vicuna's."""
    (tmp_path / "three.jsonl").write_text(TEXT)
    digest = vicuna.digest(read_questions(str(tmp_path / "three.jsonl")))
    monkeypatch.setattr(vicuna, "_SHA256", digest)


def test_the_real_eighty(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(vicuna.VARIABLE, str(shared / "data" / "vicuna-80-questions.jsonl"))
    questions = read_questions("vicuna")
    assert len(questions) == 80
    assert len({q.category for q in questions}) == 9


@pytest.mark.usefixtures("stand_in")
def test_they_are_downloaded_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def urlopen(address: str, timeout: float) -> io.BytesIO:
        asked.append(address)
        assert timeout < 60
        return io.BytesIO(TEXT.encode())

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    assert [len(read_questions("vicuna")) for _ in range(2)] == [3, 3]
    assert asked == [vicuna.ADDRESS]
    assert (home / ".cache" / "shepherd" / "vicuna-80-questions.jsonl").read_text() == TEXT


def test_offline_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def urlopen(*_: Any, **__: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    with pytest.raises(ShepherdError, match=r"\(no route to host\); download https.* with --questions"):
        read_questions("vicuna")


def test_other_questions_and_a_wrong_path_are_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(vicuna.VARIABLE, str(home / "gone.jsonl"))
    with pytest.raises(ShepherdError, match=r"SHEPHERD_VICUNA names .* no file"):
        read_questions("vicuna")
    (home / "other.jsonl").write_text(TEXT)
    monkeypatch.setenv(vicuna.VARIABLE, str(home / "other.jsonl"))
    with pytest.raises(ShepherdError, match="does not hold Vicuna's eighty questions"):
        read_questions("vicuna")
