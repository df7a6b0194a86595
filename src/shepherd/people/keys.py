"""Who is behind the items of a sheet: kept in the study's folder, apart from the sheets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from shepherd.errors import ShepherdError
from shepherd.files import write_json
from shepherd.people.items import Item
from shepherd.study.directory import Study


def keys_folder(study: Study) -> Path:
    """Return where the keys of a study's sheets lie."""
    return study.path / "ratings" / "keys"


def write_key(study: Study, items: Sequence[Item]) -> Path:
    """Keep who is behind the items of a sheet; the same sheet has the same file, named by its items."""
    names = "\n".join(item.id for item in items)
    path = keys_folder(study) / f"{hashlib.sha256(names.encode()).hexdigest()[:12]}.json"
    write_json(path, {"items": [item.to_dict() for item in items]})
    return path


def read_keys(study: Study) -> dict[str, Item]:
    """Return every item of every sheet by its name.

    Raises
    ------
    ShepherdError
        If a key cannot be read: without it nobody knows whose answers were rated.
    """
    keys: dict[str, Item] = {}
    for path in sorted(keys_folder(study).glob("*.json")):
        keys |= {item.id: item for item in _items(path)}
    return keys


def _items(path: Path) -> list[Item]:
    try:
        return [Item.from_dict(values) for values in json.loads(path.read_text(encoding="utf-8"))["items"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ShepherdError(
            f"{path} is damaged, and only it says whose answers were rated; restore it."
        ) from error
