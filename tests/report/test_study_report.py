"""The report of a study: what its answers are compared with, and grouped by."""

from __future__ import annotations

from pathlib import Path

import pytest

from shepherd.errors import ShepherdError
from shepherd.files import write_json
from shepherd.judge.judgement import Judgement
from shepherd.report.html import write_report
from shepherd.report.study_html import write_study_report
from shepherd.report.study_judged import all_results, judged_sections
from shepherd.study.answers import Answer, ModelCard
from shepherd.study.directory import Study, write_lines
from shepherd.study.questions import Question

JUDGE = {
    **{"model": "j", "temperature": 0.0, "max_tokens": 9, "retries": 0},
    **{"addresses": [], "prompts": {}, "comparisons": []},
}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Two models and twelve questions in two languages; the untuned base has a name of its own."""
    study = Study(tmp_path / "study")
    questions = [
        Question(
            f"q{i}", "ab"[i % 2], f"Question {i}?", "", ["yes indeed"], {"language": ["de", "en"][i // 6]}
        )
        for i in range(12)
    ]
    study.begin(questions, "a test")
    for label, rounds in (("before", 0), ("tuned", 5)):
        study.write_card(ModelCard(label, "run", f"runs/{label}", "lamb", "f1", about={"rounds": rounds}))
        said = [Answer(q.id, "yes" if label == "tuned" or i % 3 else "no") for i, q in enumerate(questions)]
        write_lines(study.answers_path(label), said)
    return study


def _judged(study: Study) -> None:
    write_json(study.judge_path("j") / "settings.json", JUDGE)
    judgements = [
        Judgement(
            "scores", q.id, "before", "tuned", swapped, 0, 4.0 + (i >= 6), 6.0, "reference", "", True, "r"
        )
        for i, q in enumerate(study.questions())
        for swapped in (False, True)
    ]
    study.write_judgements("j", judgements)


def test_the_untuned_base_and_other_columns_are_found(study: Study) -> None:
    page = write_study_report(study).read_text(encoding="utf-8")
    assert "<h3>Differences to before</h3>" in page
    assert "before is the untuned base lamb." in page
    for title in ("ROUGE-L by category", "ROUGE-L by language", "Token F1 by language"):
        assert f"<h3>{title}</h3>" in page
    assert 'aria-label="Every model&#39;s score by language."' in page


def test_judges_results_stand_by_other_columns_too(study: Study) -> None:
    _judged(study)
    (section,) = judged_sections(study, all_results(study))
    by = {title: table for title, table in section.tables if title.startswith("By ")}
    assert list(by) == ["By category", "By language"]
    assert [[cell.text for cell in row] for row in by["By language"].rows] == [
        ["de", "-2.00"],
        ["en", "-1.00"],
    ]


def test_a_path_that_is_neither_run_nor_study_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(
        ShepherdError, match=r"none is not there; give the folder of a run, .* or of a study"
    ) as caught:
        write_report(tmp_path / "none")
    assert "config.yaml" not in str(caught.value)
    with pytest.raises(ShepherdError, match="is neither a run nor a study"):
        write_report(tmp_path)
