"""Three sites: their files and a hold-out, in the layout that the simulator reads as clients, and what answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from shepherd.data.instructions import read_instructions
from shepherd.deploy.settings import Limits, SiteSettings
from shepherd.deploy.site import Site

NAMES = ["anna", "berta", "carla"]


def write_site_files(folder: Path, each: int = 20, held_out: int = 12) -> Path:
    """Write so many examples of `meadow` for each site, and a hold-out; return the folder."""
    count = each * len(NAMES)
    table = read_instructions("meadow", rows=count + held_out).table
    for number, part in enumerate(np.array_split(np.arange(count), len(NAMES))):
        _write(folder / f"local_training_{number}.jsonl", [table[int(row)] for row in part])
    _write(folder / "global_test.jsonl", [table[row] for row in range(count, count + held_out)])
    (folder / "clients.json").write_text(json.dumps(NAMES))
    return folder


def file_of(folder: Path, name: str) -> Path:
    """Return a site's file."""
    return folder / f"local_training_{NAMES.index(name)}.jsonl"


def site(name: str, files: Path, folder: Path, base: Path, **limits: Any) -> Site:
    """Return one of the sites, which allows the base and any number of sites unless told otherwise."""
    allowed = Limits(base_models={str(base): "any"}, **{"fewest_sites": 1, **limits})
    settings = SiteSettings(
        federation="0" * 16,
        federation_name="test",
        site=name,
        address="localhost:1",
        threads=1,
        limits=allowed,
    )
    return Site(settings, str(file_of(files, name)), folder / name)


def all_sites(folder: Path) -> dict[str, Any]:
    """Return the sections of a config in which the three of a folder take part in every round."""
    allocation = {"name": "files", "path": str(folder)}
    return {"allocation": allocation, "participation": {"name": "random", "fraction": 1.0}}


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    own = ("instruction", "context", "category")
    kept = [{**{key: row[key] for key in own}, "response": row["responses"][0]} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in kept))
