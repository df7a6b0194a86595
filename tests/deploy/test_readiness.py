"""What a site checks and says before anybody is told of it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shepherd.errors import ShepherdError

pytest.importorskip("cryptography")

from shepherd.deploy.bundle import Bundle
from shepherd.deploy.folder import FederationFolder
from shepherd.deploy.readiness import readiness
from shepherd.deploy.settings import FederationSettings, Limits


@pytest.fixture
def federation(tmp_path: Path) -> FederationFolder:
    made = FederationFolder(tmp_path / "federation")
    made.init(FederationSettings(federation="0" * 16, name="hospitals", host="fl.example.org"))
    return made


@pytest.fixture
def data(tmp_path: Path) -> str:
    rows = [{"instruction": "a" * length, "response": "patient 7"} for length in (3, 9, 5)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(tmp_path / "data.jsonl")


def bundle(federation: FederationFolder, **limits: Any) -> Bundle:
    return Bundle(federation.add_site("north", Limits(**limits)))


def test_a_site_that_is_ready(federation: FederationFolder, data: str, tmp_path: Path) -> None:
    found = readiness(bundle(federation, base_models={"lamb": "any"}), data, tmp_path / "state")
    assert (found.examples, found.longest, found.bases) == (3, 9, ["lamb"])
    assert stat.S_IMODE(os.stat(tmp_path / "state").st_mode) == 0o700
    who, what, leaves, never = found.sentences()
    assert who == "Site 'north' of the federation 'hospitals', coordinator at fl.example.org:8443."
    assert what.startswith(f"Data: 3 examples in {data}. Base models allowed: lamb. Free disk: ")
    assert "updates of the adapter" in leaves
    assert "examples, any text" in never
    assert not any("patient" in sentence for sentence in found.sentences())


def test_a_site_that_allows_no_base_yet_is_told(
    federation: FederationFolder, data: str, tmp_path: Path
) -> None:
    said = readiness(bundle(federation), data, tmp_path / "state").sentences()[1]
    assert "none yet: name one in limits.base_models of site.yaml" in said


def test_what_is_not_there_is_said_before_anything_is_made(
    federation: FederationFolder, data: str, tmp_path: Path
) -> None:
    with pytest.raises(ShepherdError, match="no directory /nowhere/base"):
        readiness(bundle(federation, base_models={"/nowhere/base": "any"}), data, tmp_path / "state")
    federation.remove_site("north")
    with pytest.raises(ShepherdError, match=r"missing\.jsonl"):
        readiness(bundle(federation), str(tmp_path / "missing.jsonl"), tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_a_full_disk_is_said_with_what_is_needed(
    federation: FederationFolder, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda place: SimpleNamespace(free=10**6))
    with pytest.raises(ShepherdError, match=r"Only 1\.00 MB are free .* needs 200 MB; .*--state"):
        readiness(bundle(federation), data, tmp_path / "state")


def test_a_state_that_cannot_be_written_is_one_sentence(
    federation: FederationFolder, data: str, tmp_path: Path
) -> None:
    with pytest.raises(ShepherdError, match="Cannot write"):
        readiness(bundle(federation), data, Path(data) / "state")
