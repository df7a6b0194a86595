"""Which clients alone were chosen by what they hold: a note beside a run's baselines.

A client that was named or drawn is another client in every seed, with other data. One that was asked for by what it
holds (`shepherd baselines --alone-on`) stands for the same kind of work in all of them, whatever its name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from shepherd.errors import ShepherdError
from shepherd.files import write_json

NOTE = "specialists.json"


def note_specialists(baselines: Path, specialists: Mapping[str, str]) -> None:
    """Add to the note of a folder of baselines; what was noted before stays.

    Parameters
    ----------
    baselines : Path
        The folder.
    specialists : mapping of str to str
        What each was asked for by, such as ``classification+brainstorming``, by the name of its run in the folder.
    """
    if specialists:
        write_json(baselines / NOTE, read_specialists(baselines) | dict(specialists))


def read_specialists(baselines: Path) -> dict[str, str]:
    """Return what `note_specialists` wrote; nothing where there is no note.

    Raises
    ------
    ShepherdError
        If the note is damaged.
    """
    path = baselines / NOTE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ShepherdError(
            f"{path} is damaged and cannot be read ({error}); restore or delete it."
        ) from error
    if not isinstance(found, dict) or not all(isinstance(kinds, str) for kinds in found.values()):
        raise ShepherdError(f"{path} is no mapping of names to texts; restore or delete it.")
    return found
