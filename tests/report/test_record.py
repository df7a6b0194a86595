from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from shepherd.errors import ShepherdError
from shepherd.report.record import read_record
from shepherd.report.summary import sentences

MakeRun = Callable[..., Path]


def test_reads_what_a_run_wrote(run: Path) -> None:
    record = read_record(run)
    assert record.label == "quickstart"
    assert (record.rounds, record.planned_rounds, record.has_all_rounds) == (8, 8, True)
    assert record.final["round"] == record.best["round"] == 8
    assert record.untuned is not None
    assert record.untuned["round"] == 0
    assert record.clients() == ["client-00", "client-01", "client-02"]
    assert record.bytes_up == record.bytes_down == 8 * 3 * 500_000
    assert record.examples == 8 * (40 + 50 + 60)
    assert record.training_seconds == 80.0
    assert record.total_seconds == 80.0 + 9 * 2.0
    assert record.peak_memory_bytes == 9.1e8 + 8
    assert len(record.answers()) == 24


def test_polling_and_choosing_are_not_training(run: Path) -> None:
    path = run / "metrics.jsonl"
    found = [json.loads(line) for line in path.read_text().splitlines()]
    for line in found:
        if line["scope"] == "round":
            line["machine"]["selection_seconds"] = 2.5
    poll = {"round": 1, "scope": "poll", "client": "client-00", "loss": 1.0}
    path.write_text("".join(json.dumps(line) + "\n" for line in [*found, poll]))
    record = read_record(run)
    assert (record.round_seconds, record.training_seconds, record.selection_seconds) == (80.0, 60.0, 20.0)
    assert "training took 1 min 0 s, polling and choosing 20 s." in " ".join(sentences(record, [], None))


def test_curves_keep_only_what_was_measured(run: Path) -> None:
    record = read_record(run)
    assert record.curve("loss")[0] == list(range(9))
    assert record.train_curve()[0] == list(range(1, 9))
    assert record.curve("no such figure") == ([], [])


def test_best_is_the_lowest_loss_and_never_nan(run: Path) -> None:
    with (run / "metrics.jsonl").open("a") as stream:
        stream.write(json.dumps({"round": 9, "scope": "global", "loss": 9.0}) + "\n")
        stream.write(json.dumps({"round": 10, "scope": "global", "loss": float("nan")}) + "\n")
    record = read_record(run)
    assert record.final["round"] == 10
    assert record.best["round"] == 8


def test_baselines_come_in_the_order_of_the_story(compared_run: Path, make_run: MakeRun) -> None:
    make_run(compared_run / "baselines" / ".centralised.partial")
    (make_run(compared_run / "baselines" / "alone-slow") / "metrics.jsonl").unlink()
    record = read_record(compared_run)
    labels = [other.label for other in record.baselines()]
    assert labels == ["untuned", "alone-client-00", "alone-client-01", "centralised"]
    assert record.unfinished_baselines() == ["alone-slow"]


def test_a_run_stopped_early_is_not_finished(run: Path) -> None:
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:6]))
    assert not read_record(run).has_all_rounds


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShepherdError, match="is no run directory"):
        read_record(tmp_path)


@pytest.mark.parametrize("content", ["", '{"round": 1, "scope": "round"}\n'])
def test_a_run_without_an_evaluation_is_refused(run: Path, content: str) -> None:
    (run / "metrics.jsonl").write_text(content)
    with pytest.raises(ShepherdError, match="no committed evaluation"):
        read_record(run)


@pytest.mark.parametrize("line", ['{"round": 9, "sco', "[1, 2]", "\x00\x00", "[" * 100_000])
def test_a_malformed_last_line_is_named(run: Path, line: str) -> None:
    number = len((run / "metrics.jsonl").read_text().splitlines()) + 1
    with (run / "metrics.jsonl").open("a") as stream:
        stream.write(line)
    with pytest.raises(ShepherdError, match=rf"metrics\.jsonl, line {number}, is no JSON object"):
        read_record(run)


@pytest.mark.parametrize(
    "line", [{"scope": "global", "loss": 1}, {"scope": "global", "round": 1}, {"scope": "client", "round": 1}]
)
def test_a_line_that_lacks_its_key_is_named(run: Path, line: dict[str, object]) -> None:
    (run / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(ShepherdError, match=r"metrics\.jsonl, line 1, "):
        read_record(run)


@pytest.mark.parametrize("content", ["a: [", "- 1", "\t: {", "!!python/object:os.system x"])
def test_a_damaged_config_is_named(run: Path, content: str) -> None:
    (run / "config.yaml").write_text(content)
    with pytest.raises(ShepherdError, match=r"config\.yaml"):
        read_record(run)


def test_the_summary_says_what_else_the_rounds_tell(run: Path) -> None:
    path, environment = run / "metrics.jsonl", run / "environment.json"
    found = [json.loads(line) for line in path.read_text().splitlines()]
    plain = " ".join(sentences(read_record(run), [], None))
    assert "rounds old" not in plain
    assert "cluster" not in plain
    assert "own tests" not in plain
    assert "untrained adapter" not in plain
    for line in found:
        if line["scope"] == "round":
            line |= {"staleness": line["round"] / 2, "clusters": 1.0 if line["round"] < 5 else 3.0}
    path.write_text("".join(json.dumps(line) + "\n" for line in found))
    about = json.loads(environment.read_text())
    about["data"]["own_test_rows"] = 300
    about["adapter"] = {"starts_at_base": False}
    environment.write_text(json.dumps(about))
    record = read_record(run)
    said = " ".join(sentences(record, [], 3))
    assert "on 1,200 instructions from dolly-small.jsonl held by 3 clients" in said
    assert "300 more are kept for the clients' own tests." in said
    assert "The updates that it aggregated were 2.2 rounds old on average." in said
    assert "Its clients are in 3 clusters, each with an adapter of its own." in said
    assert "(of the untrained adapter, which is not the untuned base's) to " in said
    assert record.as_untuned() is None


def test_a_loss_that_rose_has_its_sign(run: Path) -> None:
    path = run / "metrics.jsonl"
    found = [json.loads(line) for line in path.read_text().splitlines()]
    found[-1]["loss"] = 1.1 * found[0]["loss"]
    path.write_text("".join(json.dumps(line) + "\n" for line in found))
    assert "(+10.0 %)" in " ".join(sentences(read_record(run), [], None))
