"""Which runs a comparison is of, and which of them is the reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from refusals import refusal
from shepherd.errors import ShepherdError
from shepherd.report.chosen_runs import read_runs, with_reference
from shepherd.report.record import Record

MakeRun = Callable[..., Path]


@pytest.fixture
def folder(make_run: MakeRun, tmp_path: Path) -> Path:
    """A folder of two methods' runs with two seeds each, and what else lies in a sweep's."""
    folder = tmp_path / "sweep"
    for name, rank in (("rank-4", 4), ("rank-8", 8)):
        for seed in (0, 1):
            path = make_run(folder / f"{name}_seed-{seed}", fingerprint=f"of seed {seed}")
            config = yaml.safe_load((path / "config.yaml").read_text())
            (path / "config.yaml").write_text(
                yaml.safe_dump(config | {"seed": seed, "adapter": {"rank": rank}})
            )
    (folder / "sweep.json").write_text("{}")
    (folder / ".encoded").mkdir()
    return folder


def _labels(records: list[Record]) -> list[str]:
    return [record.label for record in records]


def test_a_folder_of_runs_stands_for_all_of_them(folder: Path, compared_run: Path) -> None:
    found = read_runs([compared_run, folder])
    assert _labels(found.records)[:2] == ["quickstart", "untuned"]
    assert _labels(found.records)[5:] == ["rank-4_seed-0", "rank-4_seed-1", "rank-8_seed-0", "rank-8_seed-1"]
    assert found.left_out == []


def test_runs_of_a_folder_that_have_only_begun_are_left_out(folder: Path, tmp_path: Path) -> None:
    begun = folder / "rank-4_seed-0"
    (begun / "metrics.jsonl").unlink()
    found = read_runs([folder])
    assert len(found.records) == 3
    assert found.left_out == [begun]
    with pytest.raises(ShepherdError, match="rank-4_seed-0 has no committed evaluation yet"):
        read_runs([begun])  # named, it is meant
    for path in folder.glob("*/metrics.jsonl"):
        path.unlink()
    with pytest.raises(ShepherdError, match=r"No run in .*sweep has a committed evaluation yet"):
        read_runs([folder])
    with pytest.raises(ShepherdError, match="is no run directory"):
        read_runs([tmp_path])


def test_any_of_the_runs_can_be_the_reference(folder: Path, compared_run: Path) -> None:
    records = read_runs([folder, compared_run]).records
    by_name = with_reference(records, "quickstart")
    assert _labels(by_name)[:5] == [
        "quickstart",
        "untuned",
        "alone-client-00",
        "alone-client-01",
        "centralised",
    ]
    assert sorted(_labels(by_name)) == sorted(_labels(records))
    assert _labels(with_reference(records, str(compared_run)))[0] == "quickstart"
    assert _labels(with_reference(records, "centralised"))[:2] == ["centralised", "rank-4_seed-0"]
    assert _labels(with_reference(records, "rank-8", over_seeds=True))[0] == "rank-8_seed-0"
    with pytest.raises(ShepherdError, match=r"none of these runs; did you mean 'centralised'\?$"):
        with_reference(records, "centralized")
    with pytest.raises(
        ShepherdError, match=r"--against is '!', which is none of these runs; known: rank-4.*\.$"
    ):
        with_reference(records, "!")


def test_the_command_takes_a_folder_and_a_reference(shepherd: Callable[..., Any], folder: Path) -> None:
    code, printed, errors = shepherd("compare", folder, "--seeds", "--against", "rank-8")
    assert (code, errors) == (0, "")
    assert "Difference in loss to rank-8, paired by seed" in printed
    (folder / "rank-4_seed-0" / "metrics.jsonl").unlink()
    code, printed, errors = shepherd("compare", folder, "--seeds", "--format", "csv")
    assert code == 0
    assert [line.split(",")[0] for line in printed.splitlines()] == ["method", "rank-4_seed-1", "rank-8"]
    assert f"Left out, as nothing of them is evaluated yet: {folder / 'rank-4_seed-0'}." in errors
    told = refusal(shepherd("compare", folder / "rank-4_seed-1", "--against", "rank"))
    assert "--against is 'rank'" in told
