from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from shepherd.coreset import Cohort, Random
from shepherd.data.population import ClientView
from shepherd.errors import ShepherdError
from shepherd.messages import ClientJob
from shepherd.model.adapted import AdaptedModel

Views, Jobs = Callable[..., ClientView], Callable[..., ClientJob]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Random(), 2),
        (Random(ratio=0.3), 12),
        (Random(ratio=1e-9), 1),
        (Random(count=7), 7),
        (Random(count=99), 40),
    ],
)
def test_as_many_as_asked_each_once(
    rule: Random, expected: int, view: Views, job: Jobs, model: AdaptedModel
) -> None:
    rows = rule.examples(view(), job(), model)
    assert len(rows) == len(set(rows)) == expected
    assert set(rows) <= set(range(20, 60))


def test_every_round_and_client_draws_its_own(view: Views, job: Jobs, model: AdaptedModel) -> None:
    rule = Random(count=10)
    drawn = [
        tuple(rule.examples(view(), job(round, client), model)) for round in range(3) for client in range(3)
    ]
    assert len(set(drawn)) == 9
    assert drawn[4] == tuple(rule.examples(view(), job(1, 1), model))


def test_every_example_comes_up_equally_often(view: Views, job: Jobs, model: AdaptedModel) -> None:
    rule = Random(ratio=0.25)
    counts = np.zeros(80)
    for round in range(400):
        counts[rule.examples(view(), job(round), model)] += 1
    assert counts[20:60].min() > 60
    assert counts[20:60].max() < 145


def matched_run(folder: Path) -> str:
    lines = [
        {"round": 1, "scope": "client", "client": "a", "selected": 3, "examples": 6},
        {"round": 1, "scope": "client", "client": "c", "selected": 1, "examples": 1},
        {"round": 1, "scope": "round", "clients": 2},
        {"round": 2, "scope": "client", "client": "b", "selected": 2, "examples": 2},
        {"round": 2, "scope": "round", "clients": 1},
        {"round": 3, "scope": "round", "clients": 0},
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(folder)


def cohort(round: int, names: str = "abc") -> Cohort:
    return Cohort(round, 0, range(len(names)), list(names), [40] * len(names))


def test_it_matches_another_run_client_by_client(
    tmp_path: Path, view: Views, job: Jobs, model: AdaptedModel
) -> None:
    rule = Random(matched=matched_run(tmp_path))
    rule.prepare(model)
    choices, _ = rule.choose(cohort(0), {}, {})
    assert choices == {0: 3, 2: 1}
    assert len(rule.examples(view(), job(choice=choices[0]), model)) == 3
    assert rule.choose(cohort(1), {}, {})[0] == {1: 2}
    assert rule.choose(cohort(2), {}, {})[0] == {}


def test_what_cannot_be_matched_is_said(tmp_path: Path, view: Views, job: Jobs, model: AdaptedModel) -> None:
    rule = Random(matched=matched_run(tmp_path))
    with pytest.raises(ShepherdError, match="ends with round 3"):
        rule.choose(cohort(3), {}, {})
    with pytest.raises(ShepherdError, match=r"'c' took part in round 1 of .* but not here"):
        rule.choose(cohort(0, "abx"), {}, {})
    with pytest.raises(ShepherdError, match=r"trained on 41 examples .* has 40"):
        rule.examples(view(), job(choice=41), model)
    with pytest.raises(ShepherdError, match="no run with a trained round in"):
        Random(matched=str(tmp_path / "nothing")).prepare(model)
    old = {"round": 1, "scope": "client", "client": "a", "examples": 6}
    (tmp_path / "metrics.jsonl").write_text(
        json.dumps(old) + "\n" + json.dumps({"round": 1, "scope": "round"}) + "\n"
    )
    with pytest.raises(ShepherdError, match="an older Shepherd"):
        rule.prepare(model)


def test_one_size_only() -> None:
    with pytest.raises(ValidationError, match="not both"):
        Random(ratio=0.1, count=3)
    with pytest.raises(ValidationError, match="give matched"):
        Random(ratio=0.1, matched="runs/x")
