"""`shepherd personalise`: clients' own adapters of a finished run, kept, tested, and never made twice."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
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
from shepherd.report.personal_section import personal_figure
from shepherd.report.personal_table import client_table, summary_table, to_csv, with_own
from shepherd.run_directory import RunDirectory
from shepherd.runs import execute
from tiny_runs import tiny_values


def finished(base: Path, root: Path, own_test: float = 0.25, **changes: Any) -> Personaliser:
    values = tiny_values(base, root, **{"rounds": 2, **changes})
    values["data"] = {**values["data"], "own_test": own_test}
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
        assert table.row_count in (2, len(with_own(scores)))
    assert to_csv(scores).count("\n") == len(scores) + 1


def test_what_is_done_is_not_done_again(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    personaliser = finished(tiny_base, tmp_path, personalisation="fine_tune")
    first = list(personaliser.scores([1]))
    monkeypatch.setattr(Personaliser, "_own_model", lambda *_: pytest.fail("it was made again"))
    assert list(personaliser.scores([1])) == first


def test_an_adapter_that_was_damaged_is_made_anew(
    tiny_base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    personaliser = finished(tiny_base, tmp_path, personalisation="fine_tune")
    first = list(personaliser.scores([1, 2, 3]))
    files = [personaliser.folder / name / "adapter" / "adapter_model.safetensors" for name in "123"]
    whole = [file.read_bytes() for file in files]
    files[0].write_bytes(whole[0][:-9])
    files[1].unlink()
    untouched = files[2].stat().st_mtime_ns
    assert list(personaliser.scores([1, 2, 3])) == first
    assert [file.read_bytes() for file in files] == whole
    assert files[2].stat().st_mtime_ns == untouched
    assert [record.message for record in caplog.records if "made anew" in record.message] == [
        f"{files[0]} is damaged; it is made anew.",
        f"{files[1]} is gone; it is made anew.",
    ]


def test_a_score_of_an_older_shepherd_is_read_and_its_adapter_kept(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    personaliser = finished(tiny_base, tmp_path, personalisation="fine_tune")
    (first,) = personaliser.scores([1])
    file = personaliser.folder / "1" / "score.json"
    old = {k: v for k, v in json.loads(file.read_text()).items() if k not in ("of_pairs", "weights_sha256")}
    file.write_text(json.dumps(old))
    monkeypatch.setattr(Personaliser, "_own_model", lambda *_: pytest.fail("it was made again"))
    assert list(personaliser.scores([1])) == [replace(first, weights_sha256=None)]


@pytest.mark.parametrize("clients", ["", " ", "1,,2", ","])
def test_clients_without_a_name_are_refused(shepherd: Any, clients: str, tmp_path: Path) -> None:
    code, _, errors = shepherd("personalise", tmp_path / "no-run", "--clients", clients)
    assert code == 2
    assert f"--clients is '{clients}', which leaves a name empty; give names separated by commas" in errors


def test_a_run_without_anything_personal_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    with pytest.raises(ShepherdError, match="gives no client an adapter of its own"):
        finished(tiny_base, tmp_path, rounds=0)


@pytest.mark.parametrize(
    ("changes", "everybody"),
    [
        ({"personalisation": "ditto"}, False),
        ({"personalisation": "feddpa-t"}, False),
        ({"aggregation": "fedsa"}, False),
        ({"aggregation": {"name": "clustered", "warmup": 1}, "rounds": 3}, False),
        ({"personalisation": "fine_tune"}, True),
        ({"aggregation": "fedsa", "personalisation": "fine_tune"}, True),
    ],
    ids=["ditto", "feddpa-t", "fedsa", "clustered", "fine_tune", "fedsa, then fine_tune"],
)
def test_who_never_took_part_is_not_among_those_with_adapters_of_their_own(
    tiny_base: Path, tmp_path: Path, changes: dict[str, Any], everybody: bool
) -> None:
    taking = {"name": "only", "clients": [0, 1, 3]}
    personaliser = finished(tiny_base, tmp_path, participation=taking, **changes)
    scores = list(personaliser.scores(range(5)))
    took_part = set(personaliser.run.record.clients())
    assert took_part == {"0", "1", "3"}
    assert {score.client for score in with_own(scores)} == (set("01234") if everybody else took_part)
    absent = [score for score in scores if not score.has_own]
    assert all(score.unseen_change == 0 for score in absent)
    caption = " ".join(str(summary_table(scores).caption).split())
    assert ("Not counted: 2 clients" in caption and "(2, 4)" in caption) is not everybody
    assert client_table(scores).row_count == (5 if everybody else 3)


def test_who_uses_everybodys_adapter_does_not_dilute_the_shares(tiny_base: Path, tmp_path: Path) -> None:
    taking = {"name": "only", "clients": [0, 1]}
    personaliser = finished(tiny_base, tmp_path, aggregation="fedsa", participation=taking)
    scores = list(personaliser.scores(range(5)))
    alone = [score for score in scores if score.client in ("0", "1")]
    rows = [[str(cell) for cell in column.cells] for column in summary_table(scores).columns]
    assert rows == [[str(cell) for cell in column.cells] for column in summary_table(alone).columns]
    absent = [score for score in scores if not score.has_own]
    assert summary_table(absent).row_count == 1
    assert "0 clients with adapters of their own" in str(summary_table(absent).title)


def test_a_run_that_kept_nothing_to_test_on_still_gives_its_adapters(
    tiny_base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    everybody = {"name": "random", "fraction": 1.0}
    personaliser = finished(tiny_base, tmp_path, own_test=0, aggregation="fedsa", participation=everybody)
    assert any("data.own_test=0.2" in record.message for record in caplog.records)
    scores = list(personaliser.scores(range(5)))
    assert len(scores) == 5
    assert all(score.own_change is None and score.unseen_change != 0 for score in scores)
    own = load_file(personaliser.folder / "0" / "adapter" / "adapter_model.safetensors")
    assert any(tensor.any() for name, tensor in own.items() if "lora_B" in name)
    assert "No client keeps examples of its own" in " ".join(str(summary_table(scores).caption).split())
    assert [str(column.header) for column in client_table(scores).columns] == [
        "Client",
        "Trained on",
        "Unseen",
    ]
    assert len(personal_figure(scores).axes) == 1
    assert to_csv(scores).count("\n") == 6


def test_a_document_on_standard_output_has_it_to_itself(
    tiny_base: Path, tmp_path: Path, shepherd: Any
) -> None:
    personaliser = finished(tiny_base, tmp_path, personalisation="fine_tune")
    code, printed, errors = shepherd(
        "personalise", personaliser.run.directory, "--clients", "1,3", "--format", "csv"
    )
    assert code == 0
    lines = list(csv.DictReader(io.StringIO(printed)))
    assert [line["client"] for line in lines] == ["1", "3"]
    assert "The adapters are in" in errors
    _, printed, errors = shepherd("personalise", personaliser.run.directory, "--clients", "1")
    assert "The adapters are in" in printed
    assert "report.html" in printed
    assert "The adapters are in" not in errors


def test_by_itself_a_client_trains_what_rests_in_a_round_with_others(tiny_base: Path, tmp_path: Path) -> None:
    personaliser = finished(tiny_base, tmp_path, aggregation="rolora", personalisation="fine_tune")
    (score,) = personaliser.scores([1])
    state = RunDirectory(personaliser.run.directory).committed(personaliser.run.model.initial)
    own = load_file(personaliser.folder / score.client / "adapter" / "adapter_model.safetensors")
    changed = {name for name, tensor in own.items() if not torch.equal(tensor, state.adapter[name])}
    assert changed == set(own)
