"""docs/architecture.md is a map of the code as it is: every module is on it, and what it names is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "shepherd"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ROOMS = PAGE.partition("## Rooms")[2].partition("\n## ")[0]
DEPLOY = PAGE.partition("## A federation of sites")[2].partition("\n## ")[0]
#: What Flower promises to keep.
PROMISED = {"flwr.app", "flwr.clientapp", "flwr.serverapp"}


def modules(folder: Path) -> list[str]:
    """Return the names of a folder's modules, without the package's own."""
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("__"))


def first_cells(text: str) -> list[str]:
    """Return the first cell of every row of a text's tables."""
    return [line.split("|")[1] for line in text.splitlines() if line.startswith("|")]


def named(text: str) -> set[str]:
    """Return what stands in backticks in the first cells of a text's tables."""
    return set(re.findall(r"`([^`]+)`", " ".join(first_cells(text))))


@pytest.mark.parametrize("module", modules(PACKAGE))
def test_every_module_of_the_package_has_a_place(module: str) -> None:
    assert f"{module}.py" in named(ROOMS)


@pytest.mark.parametrize("module", modules(PACKAGE / "deploy"))
def test_every_module_of_a_federation_of_sites_has_a_place(module: str) -> None:
    assert module in named(DEPLOY)


@pytest.mark.parametrize("room", sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")))
def test_every_room_has_a_place(room: str) -> None:
    assert f"{room}/" in named(ROOMS)


def test_what_the_page_names_is_there() -> None:
    files = set(re.findall(r"`((?:\w+/)*\w+\.py)\b", PAGE))
    known = [
        str(path.relative_to(ROOT)) for path in (*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py"))
    ]
    assert not [name for name in files if not any(f"/{path}".endswith(f"/{name}") for path in known)]
    assert not named(DEPLOY) - set(modules(PACKAGE / "deploy")) - {"deploy/"}


def flower_names(path: Path) -> Iterator[str]:
    """Yield the modules of Flower's that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("flwr"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("flwr"):
            yield str(node.module)


def test_flowers_private_names_stand_where_the_page_says() -> None:
    processes = next(named(f"|{cell}|") for cell in first_cells(DEPLOY) if "`superlink`" in cell)
    using = {
        path.relative_to(PACKAGE).with_suffix("").as_posix()
        for path in PACKAGE.rglob("*.py")
        if set(flower_names(path)) - PROMISED
    }
    allowed = {f"deploy/{name}" for name in processes} | {
        f"deploy/{name}" for name in modules(PACKAGE / "deploy") if name.startswith("flower_")
    }
    assert using
    assert not using - allowed
