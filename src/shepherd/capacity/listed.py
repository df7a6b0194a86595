"""Configurations by client, out of a file: YAML, JSON or CSV, read strictly, each mistake with its line and client."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from shepherd.capacity.base import Configuration
from shepherd.data.reading import read_rows
from shepherd.errors import ShepherdError
from shepherd.settings import nearest
from shepherd.stamps import Stamp

_NAMES = ("rank", "targets", "layers")
_EXAMPLE = "client-1: {rank: 4, targets: [q_proj, v_proj], layers: [0, 1]}"
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Listed:
    """What a file says of one client.

    Attributes
    ----------
    where : str
        The file, the line and the client, as a message begins with them.
    configuration : Configuration
        What the client holds.
    """

    where: str
    configuration: Configuration


@lru_cache(maxsize=8)
def read_listed(stamp: Stamp) -> Mapping[str, Listed]:
    """Read a file of configurations.

    Parameters
    ----------
    stamp : (str, int, int)
        Which file, in which state.

    Raises
    ------
    ShepherdError
        Naming the file, the line and the client of the first mistake.
    """
    path = Path(stamp[0])
    entries = _csv_entries(path) if path.suffix.lower() == ".csv" else _mapping_entries(path)
    found: dict[str, Listed] = {}
    for place, client, values in entries:
        where = f"{place}: client '{client}'"
        if client in found:
            raise ShepherdError(f"{where} is there a second time; leave one.")
        found[client] = Listed(where, Configuration.from_tree(values, where))
    if not found:
        raise ShepherdError(f"{path} names no client; write one a line, e.g. {_EXAMPLE}.")
    return found


def _mapping_entries(path: Path) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield of a YAML or JSON mapping where each client stands, its name, and what is said of it."""
    node = _document(path)
    if node is None:
        return
    if not isinstance(node, yaml.MappingNode):
        raise ShepherdError(f"{path}:{_line(node)} is no mapping of clients; write e.g. {_EXAMPLE}.")
    for key, value in node.value:
        place = f"{path}:{_line(key)}"
        if not isinstance(key, yaml.ScalarNode):
            raise ShepherdError(f"{place} has a client whose name is no text; write e.g. {_EXAMPLE}.")
        if not isinstance(value, yaml.MappingNode):
            raise ShepherdError(
                f"{place}: client '{key.value}' has no mapping behind its name; write e.g. {_EXAMPLE}."
            )
        yield place, key.value, _plain(place, key.value, value)


def _document(path: Path) -> Any:
    try:
        # JSON is YAML but for tabs, which stand between its values only.
        text = path.read_text(encoding="utf-8-sig").replace("\t", " ")
        return yaml.compose(text, Loader=_Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise ShepherdError(f"Cannot read {path}: {error}; check the file.") from error
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark is not None else str(path)
        problem = getattr(error, "problem", None) or type(error).__name__
        raise ShepherdError(f"{place} is not valid YAML or JSON ({problem}); repair it.") from error


def _plain(place: str, client: str, node: Any) -> dict[str, Any]:
    """Return a client's mapping as plain values, no key of it twice."""
    values: dict[str, Any] = {}
    for key, value in node.value:
        if key.value in values:
            raise ShepherdError(f"{place}: client '{client}' has '{key.value}' twice; leave one.")
        if key.value not in _NAMES:
            known = nearest(str(key.value), list(_NAMES))
            raise ShepherdError(f"{place}: client '{client}' has the unknown key '{key.value}'{known}")
        values[str(key.value)] = _value(value)
    return values


def _value(node: Any) -> Any:
    """Return a value of at most one level; what is deeper is no configuration's, and refused as such."""
    if isinstance(node, yaml.SequenceNode):
        return [_scalar(one) for one in node.value]
    return _scalar(node)


def _scalar(node: Any) -> Any:
    if not isinstance(node, yaml.ScalarNode):
        return {}
    if node.tag == "tag:yaml.org,2002:int" and re.fullmatch(r"-?\d{1,9}", node.value):
        return int(node.value)
    return None if node.tag == "tag:yaml.org,2002:null" else node.value


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1


def _csv_entries(path: Path) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield the same of a CSV file's rows; several targets or layers stand in one cell, apart by spaces."""
    for place, row in read_rows(path):
        for name in row:
            if name not in ("client", *_NAMES):
                raise ShepherdError(
                    f"{path}:1 names the unknown column '{name}'{nearest(name, ['client', *_NAMES])}"
                )
        client = row.get("client", "")
        if not client:
            raise ShepherdError(f"{place} names no client; give every row one, in the column 'client'.")
        values: dict[str, Any] = {}
        for name in _NAMES:
            words = re.split(r"[\s;]+", row.get(name, "").strip())
            if words == [""]:
                continue
            known = [int(word) if re.fullmatch(r"-?\d{1,9}", word) else word for word in words]
            values[name] = words if name == "targets" else known
        if len(values.get("rank", [])) == 1:
            values["rank"] = values["rank"][0]
        yield place, client, values
