"""`shepherd personalise`: clients' own adapters of a finished run, kept, tested, and never made twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file

from shepherd.config import parse_config
from shepherd.errors import ShepherdError
from shepherd.personal_scores import read_scores
from shepherd.personalise import Personaliser
from shepherd.report.personal_table import client_table, summary_table, to_csv
from shepherd.run_directory import RunDirectory
from shepherd.runs import execute
from tiny_runs import tiny_values


def finished(base: Path, root: Path, **changes: Any) -> Personaliser:
    values = tiny_values(base, root, rounds=2, **changes)
    values["data"] = {**values["data"], "own_test": 0.25}
    return Personaliser(execute(parse_config(values)))


@pytest.mark.parametrize(
    "changes",
    [
        {"personalisation": {"name": "fine_tune", "epochs": 2}},
        {"personalisation": "ditto", "participation": {"name": "random", "fraction": 1.0}},
        {"aggregation": "fedsa"},
        {"personalisation": {"name": "feddpa-f", "epochs": 2, "scale": 1.0}},
        {"personalisation": "feddpa-t", "aggregation": "flexlora"},
    ],
    ids=["fine_tune", "ditto", "fedsa", "feddpa-f", "feddpa-t"],
)
def test_own_adapters_are_better_at_home_and_load_anywhere(
    tiny_base: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    personaliser = finished(tiny_base, tmp_path, **changes)
    scores = list(personaliser.scores(range(len(personaliser.clients))))
    assert len(scores) == len(personaliser.clients)
    assert len({score.unseen_loss_shared for score in scores}) == 1
    assert any(score.own_loss_personal != score.own_loss_shared for score in scores)
    one = personaliser.folder / scores[0].client / "adapter"
    loaded = peft.PeftModel.from_pretrained(transformers.AutoModelForCausalLM.from_pretrained(tiny_base), one)
    assert torch.isfinite(loaded(torch.arange(1, 9)[None]).logits).all()
    assert sorted(read_scores(personaliser.run.directory), key=str) == sorted(scores, key=str)
    for table in (summary_table(scores), client_table(scores)):
        assert table.row_count in (2, len(scores))
    assert to_csv(scores).count("\n") == len(scores) + 1


def test_what_is_done_is_not_done_again(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    personaliser = finished(tiny_base, tmp_path, personalisation="fine_tune")
    first = list(personaliser.scores([1]))
    monkeypatch.setattr(Personaliser, "_own_model", lambda *_: pytest.fail("it was made again"))
    assert list(personaliser.scores([1])) == first


@pytest.mark.parametrize(
    ("changes", "own_test", "message"),
    [
        ({"personalisation": "ditto"}, 0.0, "data.own_test=0.2"),
        ({}, 0.2, "gives no client an adapter of its own"),
    ],
)
def test_a_run_without_anything_personal_is_refused(
    tiny_base: Path, tmp_path: Path, changes: dict[str, Any], own_test: float, message: str
) -> None:
    values = tiny_values(tiny_base, tmp_path, rounds=1, **changes)
    values["data"] = {**values["data"], "own_test": own_test}
    with pytest.raises(ShepherdError, match=message):
        Personaliser(execute(parse_config(values)))


def test_by_itself_a_client_trains_what_rests_in_a_round_with_others(tiny_base: Path, tmp_path: Path) -> None:
    personaliser = finished(tiny_base, tmp_path, aggregation="rolora", personalisation="fine_tune")
    (score,) = personaliser.scores([1])
    state = RunDirectory(personaliser.run.directory).committed(personaliser.run.model.initial)
    own = load_file(personaliser.folder / score.client / "adapter" / "adapter_model.safetensors")
    changed = {name for name, tensor in own.items() if not torch.equal(tensor, state.adapter[name])}
    assert changed == set(own)
