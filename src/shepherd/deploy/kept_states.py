"""What a site keeps between messages: its own training state, its groups. It never leaves the site.

The coordinator remembers only names. A round that was not committed is trained again from the same names, so a
coordinator that goes back to a checkpoint finds every site where it was then.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from shepherd.deploy.refusal import Refused
from shepherd.deploy.wire import UNREADABLE
from shepherd.files import write_atomically
from shepherd.tree import Tree, from_bytes, to_bytes

_NAME = re.compile(r"(training|coreset|lasting)-(\d{6})")
#: Runs of which a site keeps something, the one under way included: any of them can be resumed.
_RUNS = 5
#: Encoded examples at a site: of one config at most two, what it trains on and what it keeps back.
ENCODED = 10


class KeptStates:
    """The files of one run at one site.

    Parameters
    ----------
    folder : Path
        Where they are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, part: str, round: int, state: Tree) -> str:
        """Keep `state` of ``training``, ``coreset`` or ``lasting`` and return its name; nothing is kept of nothing."""
        if not state:
            return ""
        name = f"{part}-{round:06d}"
        begins = not self.folder.exists()
        write_atomically(self._path(name), to_bytes(state))
        if begins:
            keep_newest(self.folder.parent, _RUNS, self.folder)
        return name

    def read(self, name: str) -> dict[str, Any]:
        """Return what was kept under `name`; nothing under no name.

        Raises
        ------
        Refused
            If there is no such file, or it is damaged: the coordinator's run and this site do not belong together.
        """
        if not name:
            return {}
        if not _NAME.fullmatch(name):
            raise Refused("The coordinator asks for a state by a name that no site gives.")
        try:
            return from_bytes(self._path(name).read_bytes())
        except (OSError, *UNREADABLE):
            raise Refused(
                f"This site no longer has what it kept as '{name}'; restore its state folder, or begin the run anew."
            ) from None

    def forget(self, *needed: str) -> None:
        """Remove what is older than all of the names `needed`, but for the one before: of each part, two are left."""
        for name in filter(None, needed):
            match = _NAME.fullmatch(name)
            if match is None:
                continue
            part, round = match[1], int(match[2])
            older = sorted(path for path in self.folder.glob(f"{part}-*") if self._round(path) < round)
            for path in older[:-1]:
                path.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"

    @staticmethod
    def _round(path: Path) -> int:
        return int(path.stem.rpartition("-")[2])


def check_name(part: str, name: str) -> None:
    """Refuse a name under which no site keeps anything of ``training``, ``coreset`` or ``lasting``.

    Raises
    ------
    Refused
        Naming the part.
    """
    match = _NAME.fullmatch(name)
    if name and (match is None or match[1] != part):
        raise Refused(f"it names what it kept of '{part}' as no site does")


def keep_newest(folder: Path, count: int, spared: Path | None = None) -> None:
    """Remove all folders in `folder` but the `count` that were changed last; `spared` is one of them in any case."""
    others = [path for path in folder.glob("*") if path.is_dir() and path != spared]
    others.sort(key=_changed, reverse=True)
    for old in others[count - (spared is not None) :]:
        shutil.rmtree(old, ignore_errors=True)


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # another process of this site removed it just now
        return 0
