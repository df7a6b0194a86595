"""The coordinator's folder and the bundles: what they hold, who may read it, and what a kill leaves."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from shepherd.errors import ShepherdError

pytest.importorskip("cryptography")

from shepherd.deploy.bundle import Bundle
from shepherd.deploy.certificates import is_signed_by, key_fingerprint, read_certificate
from shepherd.deploy.commented import COMMENTS, commented
from shepherd.deploy.folder import FederationFolder, check_names
from shepherd.deploy.settings import FederationSettings, Limits, SiteSettings, read_settings
from shepherd.settings import checked

SETTINGS = FederationSettings(federation="0123456789012345", name="a: federation", host="fl.example.org")


@pytest.fixture
def folder(tmp_path: Path) -> FederationFolder:
    made = FederationFolder(tmp_path / "federation")
    made.init(SETTINGS)
    return made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_federation(folder: FederationFolder) -> None:
    assert folder.settings == SETTINGS
    assert folder.sites() == []
    assert is_signed_by(folder.certificate, folder.authority)
    assert {"fl.example.org", "localhost", "127.0.0.1"} <= set(read_certificate(folder.certificate).names)
    assert len(folder.secret.read_bytes()) == 32
    assert [mode(path) for path in (folder.authority_key, folder.key, folder.secret)] == [0o600] * 3
    assert mode(folder.path) == 0o700


def test_keys_are_never_open_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    replace = Path.replace

    def watched(self: Path, target: Path) -> Path:
        if Path(target).name in ("ca.key", "server.key", "secret", "site.key"):
            seen.append(mode(self))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    before = os.umask(0)
    try:
        made = FederationFolder(tmp_path / "federation")
        made.init(SETTINGS)
        made.add_site("a", Limits())
    finally:
        os.umask(before)
    assert seen == [0o600] * 4


def test_a_site_gets_a_bundle_with_the_only_private_key(folder: FederationFolder) -> None:
    limits = Limits(base_models={"lamb": "1" * 64, "other": "any"}, largest_rank=7)
    path = folder.add_site("a", limits)
    bundle = Bundle(path)
    bundle.check()
    assert sorted(file.name for file in path.iterdir()) == ["README.md", "ca.pem", "site.key", "site.yaml"]
    assert len((path / "README.md").read_text().splitlines()) == 5
    assert bundle.settings.limits == limits
    assert bundle.settings.address == "fl.example.org:8443"
    assert mode(bundle.key) == 0o600
    assert bundle.fingerprint == key_fingerprint(folder.public_key("a"))
    assert [
        file for file in folder.path.rglob("*") if file.is_file() and b"OPENSSH" in file.read_bytes()
    ] == [bundle.key]


def test_sites_are_ordered_and_unique_in_any_case(folder: FederationFolder) -> None:
    for name in ("b", "C", "a.pub"):
        folder.add_site(name, Limits())
    assert folder.sites() == ["a.pub", "b", "C"]
    assert [one.name for one in folder.registered()] == folder.sites()
    for name, said in (
        ("B", "There is a site 'b' already"),
        ("../d", "cannot be called"),
        ("", "cannot be called"),
    ):
        with pytest.raises(ShepherdError, match=said):
            folder.add_site(name, Limits())
    with pytest.raises(ShepherdError, match="There is a site 'x' already"):
        check_names(["x", "X"])
    with pytest.raises(ShepherdError, match=r"has no site 'd'; its sites: a\.pub, b, C"):
        folder.public_key("d")


@pytest.mark.parametrize("damage", ["nonsense", "a folder"])
def test_a_public_key_that_cannot_be_read_is_named_with_its_site(
    folder: FederationFolder, damage: str
) -> None:
    for name in ("a", "b"):
        folder.add_site(name, Limits())
    file = folder.public_key_file("b")
    file.unlink()
    file.write_text("nonsense") if damage == "nonsense" else file.mkdir()
    with pytest.raises(ShepherdError, match=r"public key of site 'b' in .*b\.pub cannot be read; restore it"):
        folder.registered()


@pytest.mark.parametrize(
    ("content", "said"), [(None, "No such file or directory"), (b"\xff\xfe", "it is not UTF-8 text")]
)
def test_settings_that_cannot_be_read_are_one_sentence(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "site.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ShepherdError, match=f"^Cannot read .*site.yaml: {said}; restore it.$"):
        read_settings(SiteSettings, path)


def test_a_removed_site_is_kept_aside_and_may_come_again(folder: FederationFolder) -> None:
    keys = []
    for _ in range(2):
        folder.add_site("a", Limits())
        keys.append(folder.public_key("a"))
        folder.remove_site("a")
    assert folder.sites() == []
    assert not folder.bundle("a").exists()
    assert [(folder.path / "removed" / f"{name}.pub").read_bytes() for name in ("a", "a-2")] == keys
    assert Bundle(folder.path / "removed" / "a-2").fingerprint == key_fingerprint(keys[1])
    with pytest.raises(ShepherdError, match="has no site 'a'; its sites: none"):
        folder.remove_site("a")


def test_a_renewed_certificate_has_the_names_of_now(folder: FederationFolder) -> None:
    key = folder.key.read_bytes()
    file = folder.path / "federation.yaml"
    file.write_text(file.read_text().replace("names: []", "names: [10.0.0.7]"))
    folder.renew_certificate()
    assert "10.0.0.7" in read_certificate(folder.certificate).names
    assert is_signed_by(folder.certificate, folder.authority)
    assert folder.key.read_bytes() == key
    folder.key.unlink()
    folder.renew_certificate()
    assert folder.key.read_bytes() != key
    assert mode(folder.key) == 0o600


def test_a_kill_leaves_no_half_federation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = FederationFolder(tmp_path / "federation")
    for file in ("ca.key", "server.pem", "secret", "federation.yaml"):
        with monkeypatch.context() as patched:
            _killed_at(patched, file)
            with pytest.raises(KeyboardInterrupt):
                made.init(SETTINGS)
        with pytest.raises(ShepherdError, match="is no federation"):
            _ = made.settings
    made.init(SETTINGS)
    assert is_signed_by(made.certificate, made.authority)
    assert not list(made.path.glob(".federation*"))


def test_a_kill_leaves_no_half_site(folder: FederationFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in ("site.key", "a.pub"):
        with monkeypatch.context() as patched:
            _killed_at(patched, file)
            with pytest.raises(KeyboardInterrupt):
                folder.add_site("a", Limits())
        assert folder.sites() == []
    bundle = Bundle(folder.add_site("a", Limits()))
    assert bundle.fingerprint == key_fingerprint(folder.public_key("a"))


def _killed_at(patched: pytest.MonkeyPatch, name: str) -> None:
    replace = Path.replace

    def killed(self: Path, target: Path) -> Path:
        if Path(target).name == name:
            raise KeyboardInterrupt
        return replace(self, target)

    patched.setattr(Path, "replace", killed)


def test_nobody_elses_folder_is_touched(folder: FederationFolder, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "ca.key").write_text("mine")
    (tmp_path / "file").touch()
    authority = folder.authority.read_bytes()
    for path, said in (
        ("mine", "holds something else"),
        ("file", "is a file"),
        ("federation", "is a federation already"),
    ):
        with pytest.raises(ShepherdError, match=said):
            FederationFolder(tmp_path / path).init(SETTINGS)
    assert (tmp_path / "mine" / "ca.key").read_text() == "mine"
    assert folder.authority.read_bytes() == authority


def test_bundles_that_cannot_work_are_refused(folder: FederationFolder, tmp_path: Path) -> None:
    bundle = Bundle(folder.add_site("a", Limits()))
    other = FederationFolder(tmp_path / "other")
    other.init(SETTINGS.model_copy(update={"federation": "f" * 16}))

    def refused(said: str) -> None:
        with pytest.raises(ShepherdError, match=said):
            bundle.check()

    bundle.key.chmod(0o644)
    refused(r"Everybody on this machine .* \(mode 644\); .* chmod 600")
    bundle.key.chmod(0o440)  # as Kubernetes hands out secrets
    bundle.check()
    own = bundle.authority.read_bytes()
    bundle.authority.write_bytes(other.authority.read_bytes())
    refused("is not of the federation that site.yaml names")
    bundle.authority.write_bytes(own)
    bundle.key.chmod(0o600)
    bundle.key.write_bytes(folder.key.read_bytes())
    refused("is no OpenSSH private key")
    bundle.key.unlink()
    refused("it has no site.key")


@pytest.mark.parametrize("kind", [FederationSettings, SiteSettings, Limits])
def test_every_setting_has_a_comment(kind: Any) -> None:
    assert list(COMMENTS[kind]) == list(kind.model_fields)


def test_written_settings_are_read_back(tmp_path: Path) -> None:
    settings = SiteSettings(
        federation="1" * 16,
        federation_name="null",
        site="1e5",
        address="[::1]:8443",
        columns={"instruction": "a: #b"},
        limits=Limits(base_models={"no": "2" * 64}),
    )
    (tmp_path / "site.yaml").write_text(commented(settings, "heading"), encoding="utf-8")
    assert read_settings(SiteSettings, tmp_path / "site.yaml") == settings
    assert yaml.safe_load((tmp_path / "site.yaml").read_text())["federation"] == "1" * 16


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"host": "0.0.0.0"}, "nobody can connect to 0.0.0.0"),
        ({"host": "10.0.0.300"}, "neither a DNS name nor an IP address"),
        ({"host": "http://x"}, "neither a DNS name nor an IP address"),
        ({"host": "x:8443"}, "neither a DNS name nor an IP address"),
        ({"names": ["ok", "-x"]}, "neither a DNS name nor an IP address"),
        ({"bind": "fl.example.org"}, "this is no IP address"),
        ({"federation": "x"}, "federation"),
        ({"name": "a\nb"}, "name"),
        ({"prot": 1}, "did you mean 'port'"),
    ],
)
def test_settings_that_cannot_be(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ShepherdError, match=said):
        checked(FederationSettings, {**SETTINGS.model_dump(), **values}, "federation.yaml")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"address": "fl.example.org"}, "no host:port"),
        ({"address": "fl.example.org:0"}, "no host:port"),
        ({"address": "::1:8443:"}, "no host:port"),
        ({"site": "../a"}, "site"),
        ({"limits": {"base_models": {"lamb": "abc"}}}, "write its 64 hexadecimal digits, or any"),
        ({"limits": {"largest_share": 0}}, "largest_share"),
    ],
)
def test_site_settings_that_cannot_be(values: dict[str, Any], said: str) -> None:
    good = {"federation": "1" * 16, "federation_name": "x", "site": "a", "address": "x:1"}
    checked(SiteSettings, good, "site.yaml")
    with pytest.raises(ShepherdError, match=said):
        checked(SiteSettings, {**good, **values}, "site.yaml")
