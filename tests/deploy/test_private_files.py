"""What only its owner may read, from the moment it is there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from shepherd.deploy.private_files import private_folder, private_log


@pytest.fixture(autouse=True)
def no_mask() -> Iterator[None]:
    """Whoever starts a process may have no umask at all."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_folder_is_private_from_its_making_and_an_older_one_is_left_alone(tmp_path: Path) -> None:
    private_folder(tmp_path / "state")
    assert mode(tmp_path / "state") == 0o700
    (tmp_path / "volume").mkdir(mode=0o770)
    private_folder(tmp_path / "volume")
    assert mode(tmp_path / "volume") == 0o770


def test_a_log_is_private_appended_to_and_there_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "some.log"
    for line in ("first é\n", "second\n"):
        with private_log(path) as stream:
            stream.write(line)
            assert path.read_text(encoding="utf-8").endswith(line)
    assert path.read_text(encoding="utf-8") == "first é\nsecond\n"
    assert mode(path) == 0o600
