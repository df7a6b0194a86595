"""`shepherd study`: the whole of it, on a federation that runs in a second."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml

from fake_server import FakeServer
from refusals import refusal
from shepherd.config import load_config
from shepherd.errors import ShepherdError
from shepherd.study.config import StudyConfig, judge_settings, load_study_config
from shepherd.study.directory import Study

Call = Callable[..., tuple[int, str, str]]
MODELS = {"alone-brainstorming", "centralised", "federated", "untuned"}


@pytest.fixture
def call(shepherd: Call) -> Call:
    """Runs `shepherd study`."""
    return partial(shepherd, "study")


@pytest.fixture
def asked(tmp_path: Path, tiny: dict, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study's config: the tiny federation, six questions of a file, and the hold-out."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tiny | {"rounds": 1}))
    questions = [{"question_id": n, "category": "ab"[n % 2], "turns": [f"What is {n}?"]} for n in range(6)]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions))
    values = {
        "run": str(tmp_path / "run.yaml"),
        "alone_on": ["brainstorming"],
        "questions": {
            "six": {"source": str(tmp_path / "questions.jsonl"), "counts": [4, 6]},
            "holdout": {"source": "holdout"},
        },
        "decoding": {"max_new_tokens": 4},
        "judging": {"ratings": 1},
    }
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_the_whole_study_is_conducted_and_nothing_is_paid_twice(
    call: Call, asked: Path, judge_server: FakeServer
) -> None:
    judge_server.answer = lambda body: "8 7\nThe first is clearer."
    judge = ("--model", "judge-1", "--base-url", judge_server.url, "--price-in", 1, "--price-out", 1)
    code, printed, errors = call(asked, *judge, "--dry-run")
    assert code == 0, errors
    assert not judge_server.calls
    assert "USD" in printed
    code, printed, errors = call(asked, *judge)
    assert code == 0, errors
    calls = len(judge_server.calls)
    studies = {path.name: Study(path) for path in Path("runs/tiny/studies").resolve().iterdir()}
    assert set(studies) == {"six", "holdout"}
    for study in studies.values():
        assert set(study.models()) == MODELS
        assert {j.reference for j in study.judgements("judge-1")} == {"federated"}
        report = (study.path / "report.html").read_text()
        assert "The first is clearer." in report
        assert "federated" in report
    # Every model but the reference, both orders; equal answers are one request in both.
    questions = sum(len(study.questions()) for study in studies.values())
    assert 0 < calls <= 3 * 2 * questions
    assert (
        "Judge judge-1, against federated: 4 questions" in (studies["six"].path / "report.html").read_text()
    )
    code, printed, errors = call(asked, *judge)
    assert code == 0, errors
    assert len(judge_server.calls) == calls
    assert "Nothing was asked" in printed


def test_without_a_judge_it_ends_with_answers_and_says_so(call: Call, asked: Path) -> None:
    code, printed, errors = call(asked)
    assert code == 0, errors
    assert "Nobody has judged the answers" in printed
    assert Path("runs/tiny/studies/six/report.html").is_file()


def test_what_cannot_be_is_said_before_the_training(call: Call, asked: Path) -> None:
    values = yaml.safe_load(asked.read_text())
    asked.write_text(yaml.safe_dump(values | {"alone_on": ["brainstormin"]}))
    code, _, errors = call(asked)
    assert code == 2
    assert "did you mean 'brainstorming'?" in errors
    assert not Path("runs/tiny/metrics.jsonl").exists()
    code, _, errors = call(asked, "--model", "x", "--base-url", "http://127.0.0.1:9/v1")
    assert code == 2
    assert "127.0.0.1:9" in errors


def _with_judge(asked: Path, **judge: object) -> None:
    """Give the study a judge of its own, and six questions alone."""
    values = yaml.safe_load(asked.read_text())
    for section, key in ((values, "judging"), (values["questions"], "holdout")):
        section.pop(key, None)
    asked.write_text(yaml.safe_dump(values | {"judge": {"model": "own", "ratings": 1, **judge}}))


def test_the_studys_own_judge_is_asked_unless_another_is_named(
    call: Call, asked: Path, judge_server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHEPHERD_JUDGE_MODEL", raising=False)
    monkeypatch.setenv("OTHER_KEY", "sesame")
    judge_server.key = "sesame"
    _with_judge(asked, base_url=judge_server.url, key_variable="OTHER_KEY", temperature=0.5, swap=False)
    for named, model in (((), "own"), ((), "environment"), (("--model", "said"), "said")):
        if model == "environment":
            monkeypatch.setenv("SHEPHERD_JUDGE_MODEL", model)
        judge_server.calls.clear()
        code, _, errors = call(asked, *named)
        assert code == 0, errors
        assert {(body["model"], body["temperature"]) for body in judge_server.calls} == {(model, 0.5)}
    assert Study(Path("runs/tiny/studies/six")).judges() == ["environment", "own", "said"]


def test_the_studys_own_judge_is_checked_before_the_training(call: Call, asked: Path) -> None:
    _with_judge(asked, base_url="http://127.0.0.1:9/v1")
    assert "127.0.0.1:9" in refusal(call(asked))
    assert "give both price_in and price_out" in refusal(call(asked, "--price-in", 1, "--dry-run"))
    _with_judge(asked, prompt="none.txt")
    assert "Cannot read the prompt none.txt" in refusal(call(asked, "--dry-run"))
    assert not Path("runs").exists()


def test_other_models_are_checked_before_the_training(
    call: Call, asked: Path, tiny: dict, made_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (asked.parent / "hollow").mkdir()
    (asked.parent / "hollow" / "config.json").write_text("{}")
    for also, sentence in (
        ("x=hollow", "The model 'x' cannot be asked: model.base: hollow holds no weights"),
        ("untuned=lamb", "'untuned' is a model of the study itself; give the other one another name"),
        (f"x={made_runs / 'other'}", "hold out different questions"),
    ):
        code, _, errors = call(asked, "--also", also)
        assert (code, errors.count("\n")) == (2, 1), errors
        assert sentence in errors
    assert not Path("runs").exists()


def test_a_study_may_have_a_judge_of_its_own() -> None:
    questions = {"questions": {"a": {"source": "vicuna"}}}
    judge = {"model": "local", "base_url": "http://127.0.0.1:8000/v1", "ratings": 2, "form": "verdict"}
    own = StudyConfig.model_validate(questions | {"judge": judge})
    found = judge_settings(own, {"model": None, "ratings": 5, "concurrency": 3})
    assert found is not None
    assert (found.form, found.ratings, found.swap) == ("verdict", 5, True)
    assert (found.endpoint.model, found.endpoint.url) == ("local", judge["base_url"])
    assert (found.endpoint.concurrency, found.endpoint.temperature) == (3, 0.2)
    none = StudyConfig.model_validate(questions | {"judging": {"ratings": 1}})
    assert judge_settings(none, {"concurrency": 3}) is None
    named = judge_settings(none, {"model": "gpt"})
    assert named is not None
    assert (named.endpoint.model, named.ratings) == ("gpt", 1)
    with pytest.raises(ShepherdError, match="The judge cannot be asked like this: ratings"):
        judge_settings(own, {"ratings": 0})
    with pytest.raises(ValueError, match="write all of it into 'judge'"):
        StudyConfig.model_validate(questions | {"judge": judge, "judging": {}})


def test_the_preset_is_the_papers_study() -> None:
    study = load_study_config("fedit")
    assert isinstance(study, StudyConfig)
    assert study.questions["vicuna"].counts == [20, 80]
    assert study.judging.ratings == 3
    run = load_config(study.run)
    assert (run.rounds, run.participation.count) == (20, 5)  # type: ignore[attr-defined]
    with pytest.raises(ShepherdError, match="did you mean 'fedit'"):
        load_study_config("fedti")
