"""The command line: what it prints, and that every mistake is one sentence and exit code 2."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from refusals import refusal
from shepherd.runs import execute


@pytest.fixture
def config(tiny: dict[str, Any], tmp_path: Path) -> str:
    """The tiny config as a file."""
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(tiny))
    return str(path)


def test_run_prints_a_line_a_round_and_the_summary(shepherd: Any, config: str) -> None:
    code, printed, _ = shepherd("run", config)
    assert code == 0
    assert printed.count("held-out loss") == 4
    assert "trainable" in printed
    assert "report.html" in printed


def test_presets_lists_and_prints(shepherd: Any) -> None:
    assert {line.split()[0] for line in shepherd("presets")[1].splitlines()} >= {"quickstart", "fedit-dolly"}
    assert yaml.safe_load(shepherd("presets", "fedit-dolly")[1])["rounds"] == 20
    assert "did you mean 'quickstart'?" in refusal(shepherd("presets", "quikstart"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["answr"], "Did you mean 'answer'?"),
        (["presets", "--bogus"], "--bogus"),
        (["run", "quickstart", "--resum"], "--resume"),
        (["generate"], "Missing argument 'RUN'."),
        (["compare", "--format"], "'--format' requires an argument."),
        (["judge", "--count", "0"], "Invalid value for '--count'"),
        (["--"], "Missing command."),
    ],
)
def test_a_command_that_is_typed_wrong(shepherd: Any, arguments: list[str], said: str) -> None:
    told = refusal(shepherd(*arguments))
    assert told.count(said) == 1
    assert told.endswith(" --help'.")
    assert shepherd(*arguments)[2].count("\n") == 1


def test_help_of_everything(shepherd: Any) -> None:
    from shepherd.cli.terminal import app

    code, _, errors = shepherd()
    assert code == 2
    assert "Usage:" in errors
    for command in ([], *([found.callback.__name__] for found in app.registered_commands)):  # type: ignore[union-attr]
        code, printed, errors = shepherd(*command, "--help")
        assert (code, errors) == (0, "")
        assert "Usage:" in printed


def test_an_argument_that_is_not_utf_8(shepherd: Any) -> None:
    said = refusal(shepherd("generate", "runs/x", "--prompt", os.fsdecode(b"a\xff")))
    assert "The argument 'a\\xff' is not UTF-8 text" in said


@pytest.mark.parametrize("command", [["compare", "nowhere", "--seeds"], ["score", "--by", "category"]])
def test_a_picture_of_another_form_is_refused_before_anything_is_read(
    shepherd: Any, command: list[str]
) -> None:
    assert ".png or .svg" in refusal(shepherd(*command, "--figure", "x.pdf"))


def test_one_of_something_is_said_so(shepherd: Any, config: str) -> None:
    assert "1 cell, 1 to run." in shepherd("sweep", config, "--dry-run")[1]


def test_harness_says_where_its_results_are_kept(
    shepherd: Any, tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shepherd.config import parse_config

    task = tmp_path / "own.jsonl"
    task.write_text('{"question": "Say a.", "answer": "a"}\n')
    done = {"metrics": {"acc": {"value": 1.0}}, "parts": {}, "examples": 1, "cut": 0, "settings": {}}
    monkeypatch.setattr("shepherd.evaluation.lm_evaluation.require_lm_eval", lambda: None)
    monkeypatch.setattr("shepherd.evaluation.harness.examine", lambda *_: {"own": done})
    run = execute(parse_config({**tiny, "rounds": 0})).directory
    code, printed, errors = shepherd("harness", run, "--task-file", task, "--format", "csv")
    assert code == 0
    assert "Kept in" not in printed
    assert f"Kept in {run / 'harness.json'}" in errors


def test_allocate_writes_clients_table_and_picture(shepherd: Any, config: str, tiny: dict[str, Any]) -> None:
    code, printed, _ = shepherd("allocate", config)
    folder = Path(tiny["run"]["root"]) / "tiny"
    assert code == 0
    assert "Jensen" in printed
    assert {path.name for path in (folder / "clients").iterdir()} == {
        *(f"local_training_{number}.jsonl" for number in range(5)), "global_test.jsonl", "clients.json",
    }  # fmt: skip
    assert (folder / "heterogeneity.png").read_bytes().startswith(b"\x89PNG")
    assert len((folder / "heterogeneity.csv").read_text().splitlines()) == 6


def test_baselines_compare_generate_and_export(
    shepherd: Any, config: str, tiny: dict[str, Any], tmp_path: Path
) -> None:
    code, printed, _ = shepherd("baselines", config, "--alone", "1")
    run = str(Path(tiny["run"]["root"]) / "tiny")
    assert code == 0
    assert all(name in printed for name in ("tiny", "untuned", "alone-", "centralised"))

    code, printed, _ = shepherd("compare", run, "--format", "csv")
    rows = [line.split(",") for line in printed.splitlines()]
    assert code == 0
    assert len(rows) == 5

    code, printed, _ = shepherd(
        "generate", run, "--prompt", "List the people in the text.", "--max-new-tokens", "4"
    )
    assert code == 0
    assert "List the people in the text." in printed

    code, _, _ = shepherd("export", run, "--merged", str(tmp_path / "merged"))
    assert code == 0
    assert "exists already" in refusal(shepherd("export", run, "--merged", str(tmp_path / "merged")))

    code, printed, _ = shepherd("report", run)
    assert code == 0
    assert "centralised" in (Path(run) / "report.html").read_text()
    assert "--format is 'xml'" in refusal(shepherd("compare", run, "--format", "xml"))


def test_compare_over_seeds_prints_a_line_a_method_and_draws_it(
    shepherd: Any, tiny: dict[str, Any], tmp_path: Path
) -> None:
    from shepherd.config import parse_config

    runs = []
    for seed in (0, 1):
        place = {**tiny["run"], "name": f"tiny-{seed}"}
        runs.append(str(execute(parse_config({**tiny, "rounds": 1, "seed": seed, "run": place})).directory))
    picture = tmp_path / "seeds.png"
    code, printed, _ = shepherd("compare", *runs, "--seeds", "--format", "csv", "--figure", picture)
    assert code == 0
    assert [line.split(",")[:2] for line in printed.splitlines()] == [["method", "seeds"], ["tiny", "2"]]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "| tiny | 2 |" in shepherd("compare", *runs, "--seeds", "--format", "markdown")[1]
    assert "tiny & 2 &" in shepherd("compare", *runs, "--seeds", "--format", "latex")[1]
    page = tmp_path / "seeds.html"
    code, printed, _ = shepherd("compare", *runs, "--seeds", "--output", page)
    assert code == 0
    assert printed.split()[-1] == str(page)
    assert "<svg" in page.read_text()
    assert "The methods over seeds" in shepherd("compare", *runs, "--seeds")[1]

    assert "the same seed 0" in refusal(shepherd("compare", runs[0], runs[0], "--seeds"))
    assert ".png or .svg" in refusal(shepherd("compare", *runs, "--seeds", "--figure", "x.pdf"))
    assert ".png or .svg" in refusal(shepherd("compare", *runs, "--figure", "x.pdf"))
    assert "--format is 'xml'" in refusal(shepherd("compare", *runs, "--seeds", "--format", "xml"))


def rows(count: int, **changes: Any) -> str:
    made = [{"instruction": f"Say {n}", "response": f"{n}", "category": "abcd"[n % 4]} for n in range(count)]
    return "".join(json.dumps({**row, **changes}) + "\n" for row in made)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (rows(8) + '{"instruction": "x", \n' + rows(8), "mine.jsonl:9"),
        (rows(8) + '{"instruction": "Say", "response": ""}\n', "mine.jsonl:9"),
        (rows(8) + '{"instruction": "Say"}\n', "mine.jsonl:9"),
        ("", "mine.jsonl holds no rows; give a file with at least one instruction."),
        (rows(4).encode() + b'{"instruction": "caf\xe9", "response": "x"}\n', "UTF-8"),
        (rows(6), "holdout"),
        (rows(20), "5 clients"),
        ('{"a": 1, "b": 2}\n', "columns"),
    ],
)
def test_instructions_that_cannot_be_used(
    shepherd: Any, config: str, tmp_path: Path, tiny: dict[str, Any], content: str | bytes, said: str
) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert said in refusal(shepherd("run", config, f"data.path={path}"))
    left = Path(tiny["run"]["root"]) / "tiny"
    assert not (left / "adapter").exists()
    assert not (left / "metrics.jsonl").exists()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.columns={response: answer}"], "answer"),
        (["allocation.clients=500"], "500 clients"),
        (["allocation.alpha=-1"], "allocation.alpha: input should be greater than 0"),
        (["allocation.name=by_field", "allocation.field=hospital"], "hospital"),
        (["participation.count=50"], "50"),
        (["model.base=./nowhere"], "model.base: there is no directory ./nowhere"),
        (["adapter.targets=[attention]"], "Change adapter.targets."),
        (["model.device=cuda:7"], "model.device 'cuda:7' cannot be used here"),
        (["model.quantisation=4bit", "model.device=cpu"], "model.quantisation=4bit needs a CUDA GPU"),
        (["training.lr=1e30", "training.optimizer=sgd"], "diverged in round 1"),
        (["trianing.lr=1"], "did you mean 'training'?"),
        (["run.trackers=[wandb]"], "wandb"),
    ],
)
def test_configs_that_cannot_be_used(shepherd: Any, config: str, overrides: list[str], said: str) -> None:
    assert said in refusal(shepherd("run", config, *overrides))


def test_a_base_without_weights(shepherd: Any, config: str, tiny_base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "empty-base"
    folder.mkdir()
    assert "holds no config.json" in refusal(shepherd("run", config, f"model.base={folder}"))
    (folder / "config.json").write_text((tiny_base / "config.json").read_text())
    assert "holds no weights" in refusal(shepherd("run", config, f"model.base={folder}"))


def test_a_base_with_a_part_of_its_weights(
    shepherd: Any, config: str, tiny_base: Path, tmp_path: Path
) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    folder = tmp_path / "part"
    shutil.copytree(tiny_base, folder)
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    said = refusal(shepherd("run", config, f"model.base={folder}"))
    assert "1 missing, such as model.layers.1.mlp.up_proj.weight" in said


@pytest.mark.parametrize("harm", ["shape", "extra", "nan", "missing", "truncated"])
def test_an_adapter_that_does_not_fit(shepherd: Any, tiny: dict[str, Any], harm: str) -> None:
    from safetensors.torch import load_file, save_file

    from shepherd.config import parse_config

    run = execute(parse_config(tiny)).directory
    path = run / "adapter" / "adapter_model.safetensors"
    tensors = load_file(path)
    name = sorted(tensors)[0]
    if harm == "shape":
        tensors[name] = tensors[name][:1].contiguous()
    elif harm == "extra":
        tensors["another"] = tensors[name].clone()
    elif harm == "nan":
        tensors[name].view(-1)[0] = float("nan")
    elif harm == "missing":
        del tensors[name]
    save_file(tensors, path)
    if harm == "truncated":
        os.truncate(path, 100)
    said = refusal(shepherd("generate", str(run), "--prompt", "Hello"))
    assert str(path.parent) in said
    assert harm == "truncated" or name in said or "another" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(shepherd: Any, config: str, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    assert "permission is denied" in refusal(shepherd("run", config, f"run.root={locked}"))


def test_a_root_that_is_a_file(shepherd: Any, config: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = refusal(shepherd("run", config, f"run.root={tmp_path / 'file'}"))
    assert "a part of the path is a file, not a folder" in said


def test_a_resumed_run_of_another_config(shepherd: Any, config: str, tiny: dict[str, Any]) -> None:
    code, out, _ = shepherd("run", config, "rounds=1", "--resume")
    assert code == 0
    assert (
        f"There is nothing to resume in {Path(tiny['run']['root']) / 'tiny'}; beginning." in out.splitlines()
    )
    assert "already holds a run; add --resume" in refusal(shepherd("run", config, "rounds=1"))
    assert "was run with rounds=1, not 2" in refusal(shepherd("run", config, "rounds=2", "--resume"))
    said = refusal(
        shepherd("run", config, "rounds=1", "--resume", "aggregation=fedadam", "system=synchronous")
    )
    assert (
        "was run with aggregation.name=fedavg, not fedadam and without system.name=synchronous; resume"
        in said
    )
    code, out, _ = shepherd("run", config, "rounds=1", "--resume")
    assert code == 0
    assert "nothing to resume" not in out


@pytest.mark.parametrize("command", ["compare", "generate", "export", "report"])
def test_a_run_that_is_not_there(shepherd: Any, tmp_path: Path, command: str) -> None:
    more = {"generate": ["--prompt", "x"], "export": ["--merged", str(tmp_path / "m")]}.get(command, [])
    assert str(tmp_path / "nothing") in refusal(shepherd(command, str(tmp_path / "nothing"), *more))


def test_an_unknown_client_to_train_alone(shepherd: Any, config: str) -> None:
    assert "There is no client 'nobody'" in refusal(shepherd("baselines", config, "--clients", "nobody"))


def test_ctrl_c_is_130_and_resumable(config: str, tiny: dict[str, Any]) -> None:
    command = [sys.executable, "-m", "shepherd", "run", config, "rounds=50"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever tests in the background has Ctrl-C switched off for all that they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    checkpoint = Path(tiny["run"]["root"]) / "tiny" / "checkpoints" / "round-000001"
    while process.poll() is None and not checkpoint.exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "Stopped. What is finished is kept" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("key", ["model.base", "data.path"])
def test_a_hub_name_without_a_network_is_refused(
    shepherd: Any, config: str, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", unreachable)
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", unreachable)
    said = refusal(shepherd("run", config, f"{key}=nobody/nothing"))
    assert "'nobody/nothing' is neither a local path nor in the Hugging Face cache" in said
    assert "no route" in said
