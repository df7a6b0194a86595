"""`shepherd coordinator`: a run that is finished, what stays of it, and what Ctrl-C says. No process is started."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from memory_link import MemoryLink
from site_files import NAMES, all_sites, file_of, write_site_files

from refusals import refusal

pytest.importorskip("flwr")

from shepherd.deploy import coordinating
from shepherd.deploy.coordinating import state_of
from shepherd.deploy.folder import FederationFolder
from shepherd.deploy.private_files import private_folder
from shepherd.deploy.settings import FederationSettings, Limits, SiteSettings
from shepherd.deploy.site import Site
from tiny_runs import tiny_values


@pytest.fixture
def folder(tmp_path: Path) -> FederationFolder:
    """A federation of three sites."""
    made = FederationFolder(tmp_path / "federation")
    made.init(FederationSettings(federation="0" * 16, name="test", host="localhost"))
    for name in NAMES:
        made.add_site(name, Limits())
    return made


@pytest.fixture
def config(tiny_base: Path, tmp_path: Path) -> Path:
    """Two rounds of three sites, as a file."""
    files = write_site_files(tmp_path)
    values = tiny_values(tiny_base, tmp_path / "runs", rounds=2, **all_sites(files))
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def answering(tmp_path: Path, base: Path) -> MemoryLink:
    """The three sites."""
    limits = Limits(base_models={str(base): "any"})
    common = {"federation": "0" * 16, "federation_name": "test", "address": "localhost:1", "threads": 1}
    return MemoryLink(
        {
            name: Site(
                SiteSettings(**common, site=name, limits=limits),
                str(file_of(tmp_path, name)),
                tmp_path / name,
            ).answer
            for name in NAMES
        }
    )


def test_a_finished_run_keeps_its_log_and_is_not_begun_again(
    shepherd: Any,
    folder: FederationFolder,
    config: Path,
    tiny_base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = state_of(folder)

    @contextmanager
    def connected(_: FederationFolder) -> Iterator[MemoryLink]:
        private_folder(state)
        (state / "flower").mkdir()
        for name in ("superlink.log", "superlink.db", "superlink.db-wal"):
            (state / name).write_text("a line\n")
        yield answering(tmp_path, tiny_base)

    monkeypatch.setattr(coordinating, "connected", connected)
    code, said, errors = shepherd("coordinator", folder.path, config, "--resume")
    assert code == 0, errors
    assert "round 2" in said
    assert "allocation" not in said
    assert "from 3 sites." in " ".join(said.split())
    assert sorted(path.name for path in state.iterdir()) == ["status.json", "superlink.log"]
    assert "2 of 2 rounds are committed" in shepherd("federation", "status", folder.path)[1]

    def never(_: FederationFolder) -> Any:
        raise AssertionError("nothing is left to do")

    monkeypatch.setattr(coordinating, "connected", never)
    report = tmp_path / "runs" / "tiny" / "report.html"
    report.unlink()
    code, said, errors = shepherd("coordinator", folder.path, config, "--resume")
    assert code == 0, errors
    assert "In each of 2 rounds, 3 clients" in said
    assert "allocation:" not in report.read_text().partition("config")[0]
    other = shepherd("coordinator", folder.path, config, "--resume", "training.lr=0.5")
    assert "was run with training.lr=0.01" in refusal(other)


def test_too_few_sites_are_refused_before_anything_is_started(
    shepherd: Any, folder: FederationFolder, config: Path
) -> None:
    folder.remove_site(NAMES[0])
    said = refusal(shepherd("coordinator", folder.path, config))
    assert "has 2 sites, and minimum_sites in federation.yaml is 3" in said
    assert not state_of(folder).exists()


@pytest.mark.parametrize("wrong", ["ended", "bind"])
def test_a_certificate_that_nobody_would_trust_is_said_before_anything_is_started(
    shepherd: Any, folder: FederationFolder, config: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setattr(coordinating, "Child", lambda *_, **__: pytest.fail("nothing is started"))
    if wrong == "ended":
        monkeypatch.setattr("shepherd.deploy.certificates.SERVER_LIFE", timedelta(hours=-1))
        folder.renew_certificate()
        expected = "certificate ended on "
    else:
        file = folder.path / "federation.yaml"
        file.write_text(file.read_text().replace("bind: 0.0.0.0", "bind: 127.0.0.7"))
        expected = "certificate is not for 127.0.0.7"
    said = refusal(shepherd("coordinator", folder.path, config))
    assert expected in said
    assert f"run `shepherd federation renew {folder.path}`, then start the coordinator again" in said


def test_a_federation_without_its_authority_is_not_healthy(folder: FederationFolder) -> None:
    folder.authority.unlink()
    assert not coordinating._healthy(folder, folder.settings)


def test_ctrl_c_says_how_to_go_on(
    shepherd: Any, folder: FederationFolder, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(coordinating, "coordinate", stop)
    code, _, errors = shepherd("coordinator", folder.path, config)
    assert code == 130
    assert "`shepherd run` and `shepherd coordinator` with --resume" in " ".join(errors.split())
