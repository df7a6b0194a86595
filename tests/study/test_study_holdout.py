from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from shepherd.data.holdout import PerCategory
from shepherd.data.instructions import read_instructions
from shepherd.errors import ShepherdError
from shepherd.study.answers import ModelCard
from shepherd.study.directory import Study
from shepherd.study.holdout import check_joins, holdout_fingerprint, holdout_questions


def test_they_are_what_the_run_held_out(runs: Path) -> None:
    questions = holdout_questions([runs / "a", runs / "a" / "baselines" / "untuned"])
    _, test = PerCategory(count=2).split(read_instructions("meadow", rows=96), seed=0)
    assert [q.instruction for q in questions] == test.column("instruction")
    assert [q.references for q in questions] == test.column("responses")
    assert [q.category for q in questions] == list(test.categories())
    assert [q.id for q in questions] == list(map(str, np.arange(1, len(test) + 1)))


def test_other_holdouts_are_refused_with_the_way_out(runs: Path) -> None:
    both = [runs / "a", runs / "other"]
    with pytest.raises(ShepherdError, match=r"runs/a and runs/other hold out.*--questions FILE.*name=file"):
        holdout_questions(both)


def test_a_run_is_needed_and_its_data_as_it_was(runs: Path) -> None:
    with pytest.raises(ShepherdError, match="name at least one run"):
        holdout_questions([])
    path = runs / "a" / "environment.json"
    about = json.loads(path.read_text())
    about["data"]["holdout_fingerprint"] = "0"
    path.write_text(json.dumps(about))
    with pytest.raises(ShepherdError, match="The data of runs/a is not what it was"):
        holdout_questions([runs / "a"])


def test_who_joins_later_must_have_held_out_the_same(runs: Path, tmp_path: Path) -> None:
    study = Study(tmp_path / "study")
    study.begin(holdout_questions([runs / "a"]), "holdout")
    about = {"holdout_fingerprint": holdout_fingerprint(runs / "a")}
    study.write_card(ModelCard("a", "run", "runs/a", about=about))
    check_joins(study, [runs / "a"])
    check_joins(study, [])
    with pytest.raises(ShepherdError, match="runs/a and runs/other hold out different"):
        check_joins(study, [runs / "other"])


def test_other_studies_take_any_run(runs: Path, tmp_path: Path) -> None:
    study = Study(tmp_path / "study")
    study.begin(holdout_questions([runs / "a"]), "questions.jsonl")
    check_joins(study, [runs / "a", runs / "other"])
