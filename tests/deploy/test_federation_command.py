"""`shepherd federation`: what it makes and prints, and that every mistake is one sentence and exit code 2."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from refusals import refusal

pytest.importorskip("cryptography")

import shepherd.cli.federating  # noqa: F401, adds the command
from shepherd.config import parse_config
from shepherd.deploy.bundle import Bundle
from shepherd.deploy.folder import FederationFolder
from shepherd.deploy.limits import check_allowed
from shepherd.deploy.measured_limits import check_base
from shepherd.deploy.refusal import Refused
from shepherd.model.base import load_base


@pytest.fixture
def federation(shepherd: Any) -> Any:
    """Runs `shepherd federation`."""
    return partial(shepherd, "federation")


def test_a_federation_from_the_first_site_to_the_last(federation: Any, tmp_path: Path) -> None:
    folder = tmp_path / "hospitals"
    code, said, _ = federation(
        "init", folder, "--host", "10.0.0.7", "--port", 9000, "--site", "north", "--site", "south"
    )
    assert code == 0
    assert f"{folder} is the federation 'hospitals', at 10.0.0.7:9000." in said
    assert f"Hand {folder / 'bundles' / 'south'} to site 'south', then delete it here" in said
    assert "No base model is allowed yet" in said
    assert f"shepherd coordinator {folder} CONFIG" in said
    assert "to site 'east'" in federation("add-site", folder, "east")[1]
    assert "'north' is removed" in federation("remove-site", folder, "north")[1]
    code, said, _ = federation("list", folder)
    fingerprint = Bundle(folder / "bundles" / "east").fingerprint
    assert code == 0
    assert [name in said for name in ("hospitals", "10.0.0.7:9000", "east", "south", "north", fingerprint)] == [
        True, True, True, True, False, True,
    ]  # fmt: skip
    assert "valid until" in federation("renew", folder)[1]


def test_what_a_config_needs_is_written_for_review(
    federation: Any, tiny: dict[str, Any], tmp_path: Path
) -> None:
    config, folder = parse_config(tiny), tmp_path / "federation"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tiny))
    code, said, _ = federation(
        "init", folder, "--host", "x", "--site", "a", "--config", tmp_path / "config.yaml"
    )
    assert code == 0
    assert "reviews the limits" in said
    limits = Bundle(FederationFolder(folder).bundle("a")).settings.limits
    base = load_base(config.model)
    assert limits.base_models == {config.model.base: base.fingerprint}
    assert (limits.largest_rank, limits.most_local_epochs, limits.most_tokens) == (2, 1, 64)
    check_allowed(config, limits, 3)
    check_base(config.model.base, base.fingerprint, base.model.num_parameters(), limits)
    with pytest.raises(Refused, match=r"adapter\.rank is 3"):
        check_allowed(parse_config({**tiny, "adapter": {"rank": 3}}), limits, 3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["init", "new", "--host", "x y"],
            "There cannot be such a federation: host: this is neither a DNS name",
        ),
        (["init", "new", "--host", "x", "--port", "0"], "port"),
        (["init", "new", "--host", "x", "--site", "a", "--site", "A"], "There is a site 'a' already"),
        (["init", "new", "--host", "x", "--config", "quikstart"], "did you mean 'quickstart'?"),
        (["init", ".", "--host", "x"], "holds something else"),
        (["add-site", "new", "a"], "new is no federation"),
        (["remove-site", "new", "a"], "new is no federation"),
        (["renew", "new"], "new is no federation"),
        (["list", "new"], "new is no federation"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing(
    federation: Any, arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "something").touch()
    assert said in refusal(federation(*arguments))
    assert [path.name for path in tmp_path.iterdir()] == ["something"]
