from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from shepherd.errors import ShepherdError
from shepherd.files import (
    explained,
    folder_name,
    named_as_folder,
    write_atomically,
    write_directory,
    write_json,
)


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_atomically(path, "first, and rather long")
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert os.listdir(path.parent) == ["file"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.json"
    write_json(path, {"a": 1})

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ShepherdError, match=r"Cannot write .*file\.json: the disk is full; free some space"):
        write_json(path, {"a": 2})
    assert path.read_text() == '{\n  "a": 1\n}\n'


def test_a_directory_appears_complete_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "adapter"
    write_directory(path, lambda folder: (folder / "one").write_text("1") and None)

    def fails(folder: Path) -> None:
        (folder / "two").write_text("2")
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError):
        write_directory(path, fails)
    assert [file.name for file in path.iterdir()] == ["one"]
    write_directory(path, lambda folder: (folder / "two").write_text("2") and None)
    assert [file.name for file in path.iterdir()] == ["two"]
    assert os.listdir(tmp_path) == ["adapter"]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "permission is denied"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_the_systems_refusals_are_said_in_words(number: int, said: str) -> None:
    with pytest.raises(ShepherdError, match=said), explained(Path("runs/x")):
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("name", ["..", ".", "...", ".git", "a/b", "../up", ""])
def test_no_name_leads_out_of_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="begins with no"):
        named_as_folder(name)
    assert (tmp_path / folder_name(name or "client")).parent == tmp_path
    assert (tmp_path / folder_name(name or "client")).resolve().parent == tmp_path.resolve()


def test_names_that_differ_have_folders_that_differ() -> None:
    names = ["a b", "a_b", "a/b", "a:b", ".a", "_a", "..a"]
    assert len({folder_name(name) for name in names}) == len(names)


@pytest.mark.parametrize("name", ["run", "a.b", "0.5_x-1", "ä", "-a"])
def test_other_names_stay_as_they_are(name: str) -> None:
    assert named_as_folder(name) == folder_name(name) == name
