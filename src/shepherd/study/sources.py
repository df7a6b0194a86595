"""Who is to answer, told from what a person writes; nothing is loaded here.

A run or baseline directory, a PEFT adapter's directory, a plain model (a directory, a hub name, `lamb`), or
``endpoint:MODEL``; each may be given a name of its own as ``label=source``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shepherd.errors import ShepherdError
from shepherd.model.adapter import CONFIG_FILE
from shepherd.run_files import is_finished
from shepherd.settings import nearest

Kind = Literal["run", "adapter", "model", "endpoint"]
ENDPOINT = "endpoint:"
_LABELLED = re.compile(r"(?P<label>[\w.+-]+(?:/[\w.+-]+)*)=(?P<place>.+)")


@dataclass(frozen=True)
class Source:
    """Somebody who is to answer.

    Attributes
    ----------
    label : str
        The name in the study.
    kind : str
        ``run`` (baselines too), ``adapter``, ``model`` or ``endpoint``.
    place : str
        The directory, the hub name, or the model's name at its endpoint.
    """

    label: str
    kind: Kind
    place: str


def find_sources(texts: Sequence[str], with_baselines: bool = False) -> list[Source]:
    """Tell who is meant.

    Parameters
    ----------
    texts : sequence of str
        What was written.
    with_baselines : bool
        Add every finished baseline of the runs, right behind its run.

    Raises
    ------
    ShepherdError
        If there is no such thing, it is not finished, or two have the same label.
    """
    found: dict[str, Source] = {}
    for source in _all(texts, with_baselines):
        other = found.setdefault(source.label, source)
        if _same_place(other, source):
            continue
        raise ShepherdError(
            f"{other.place} and {source.place} would both be called '{source.label}'; name one yourself, "
            f"as in other={source.place}"
        )
    return list(found.values())


def find_source(text: str) -> Source:
    """Tell who one word means; see `find_sources`."""
    labelled = None if Path(text).expanduser().exists() else _LABELLED.fullmatch(text)
    label, place = (labelled["label"], labelled["place"]) if labelled else (None, text)
    if place.startswith(ENDPOINT):
        name = place.removeprefix(ENDPOINT)
        if not name:
            raise ShepherdError(
                f"'{text}' names no model; write {ENDPOINT}MODEL, e.g. {ENDPOINT}gpt-4o-mini."
            )
        return Source(label or as_label(name), "endpoint", name)
    folder = Path(place).expanduser()
    if (folder / "config.yaml").is_file():
        _check_finished(folder)
        return Source(label or _run_label(folder), "run", str(folder))
    if (folder / CONFIG_FILE).is_file():
        return Source(label or as_label(folder.resolve().name), "adapter", str(folder))
    _check_model(place, folder)
    return Source(label or as_label(folder.resolve().name if folder.exists() else place), "model", place)


def baselines_of(run: Source) -> list[Source]:
    """Return the finished baselines of a run, in its report's order."""
    from shepherd.report.record import read_record

    folders = [record.path for record in read_record(Path(run.place)).baselines()]
    done = filter(is_finished, folders)
    return [Source(f"{run.label}/{folder.name}", "run", str(folder)) for folder in done]


def _all(texts: Sequence[str], with_baselines: bool) -> Iterator[Source]:
    for text in texts:
        source = find_source(text)
        yield source
        if with_baselines and source.kind == "run":
            yield from baselines_of(source)


def _same_place(one: Source, other: Source) -> bool:
    if one.kind in ("run", "adapter"):
        return Path(one.place).resolve() == Path(other.place).resolve()
    return (one.kind, one.place) == (other.kind, other.place)


def _run_label(folder: Path) -> str:
    folder = folder.resolve()
    if folder.parent.name == "baselines":
        return as_label(f"{folder.parents[1].name}/{folder.name}")
    return as_label(folder.name)


def as_label(name: str) -> str:
    """Return a name with everything replaced that a label may not have."""
    return re.sub(r"[^\w.+/-]", "_", name).strip("/")


def _check_finished(folder: Path) -> None:
    if not is_finished(folder):
        raise ShepherdError(f"The run {folder} is not finished; go on with it (--resume) before it is asked.")


def _check_model(place: str, folder: Path) -> None:
    """Refuse what can be no model: a folder without one, or a path that is not there."""
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ShepherdError(
                f"{place} holds no run (config.yaml), no adapter ({CONFIG_FILE}) and no model (config.json)."
            )
        return
    parent = folder.parent
    # `runs/x` could be a hub name; where there is a folder `runs`, it is a slip of the pen.
    if place.startswith((".", "/", "~")) or (parent != Path(".") and parent.is_dir()):
        known = sorted(str(p) for p in parent.iterdir() if p.is_dir()) if parent.is_dir() else []
        raise ShepherdError(f"There is no run or model {place}{nearest(place, known) if known else '.'}")
