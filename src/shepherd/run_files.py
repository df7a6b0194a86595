"""The files of a run directory, parsed and checked where they enter; a damaged one is named by its line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from shepherd.errors import ShepherdError

Metric = dict[str, Any]


def is_finished(folder: Path) -> bool:
    """Say whether the run or baseline in a folder is done: the adapter is what a run writes last, and as a whole."""
    from shepherd.model.adapter import CONFIG_FILE  # brings torch

    return (folder / "adapter" / CONFIG_FILE).is_file()


def read_config(folder: Path) -> dict[str, Any]:
    """Return the resolved config of a run directory."""
    return _mapping(folder, "config.yaml", yaml.safe_load)


def read_environment(folder: Path) -> dict[str, Any]:
    """Return the environment of a run directory."""
    return _mapping(folder, "environment.json", json.loads)


def _mapping(folder: Path, name: str, parse: Callable[[str], Any]) -> dict[str, Any]:
    path = folder / name
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ShepherdError(
            f"{folder} is no run directory: {name} cannot be read; give a folder that `shepherd run` wrote."
        ) from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ShepherdError(f"{path} is damaged and cannot be read; restore it or repeat the run.") from error
    if not isinstance(content, dict):
        raise ShepherdError(f"{path} holds no mapping of keys to values; restore it or repeat the run.")
    return content


def read_metrics(folder: Path) -> list[Metric]:
    """Return the lines of `metrics.jsonl`; none if it is not there yet."""
    path = folder / "metrics.jsonl"
    metrics = read_json_lines(path)
    for number, line in enumerate(metrics, start=1):
        _check_metric(line, f"{path}, line {number}")
    return metrics


def _check_metric(line: Metric, where: str) -> None:
    if not isinstance(line.get("scope"), str) or not isinstance(line.get("round"), int):
        raise ShepherdError(f"{where}, has no scope or no round; repeat the run or delete that line.")
    if line["scope"] == "client" and "client" not in line:
        raise ShepherdError(f"{where}, names no client; repeat the run or delete that line.")
    if line["scope"] == "global" and not isinstance(line.get("loss"), (int, float)):
        raise ShepherdError(f"{where}, has no loss that is a number; repeat the run or delete that line.")


def read_json_lines(path: Path, appended: bool = False, advice: str | None = None) -> list[dict[str, Any]]:
    """Return the objects of a JSON-lines file; none if there is no such file.

    Parameters
    ----------
    path : Path
        The file.
    appended : bool
        Whether lines are appended to it: what a kill left of a last one is ignored.
    advice : str, optional
        What to do about a damaged file, where it is not a run's: the end of the sentence.

    Raises
    ------
    ShepherdError
        If the file cannot be read or a line is not a JSON object.
    """
    if not path.exists():
        return []
    try:
        # Not splitlines(): it also cuts at characters that JSON allows inside a string.
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        what = advice or "restore it or repeat the run"
        raise ShepherdError(f"{path} cannot be read ({error}); {what}.") from error
    what = advice or "resume the run or delete that line"
    return list(_objects(lines[:-1] if appended else lines, path, what))


def _objects(lines: list[str], path: Path, advice: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _object(line, f"{path}, line {number}", advice)


def _object(line: str, where: str, advice: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ShepherdError(f"{where}, is no JSON object (a write cut short?); {advice}.")
    return value
