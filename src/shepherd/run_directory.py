"""The run directory: one writer, whole files, and metrics that end where the last commit ends."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml

from shepherd.config import RunConfig
from shepherd.errors import ShepherdError
from shepherd.files import explained, held, write_atomically, write_json
from shepherd.model.adapter import Adapter
from shepherd.model.exported import write_exported
from shepherd.state import RunState, drop_uncommitted, filed_state, has_state, load_state, save_state
from shepherd.tree import Tree

_LOCK = ".lock"
#: Differences between two configs that are told.
_SHOWN = 2


class RunDirectory:
    """A run's folder.

    Parameters
    ----------
    path : Path
        The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.metrics = path / "metrics.jsonl"
        self.answers = path / "answers.jsonl"
        self.selection = path / "selection.json"
        self.checkpoints = path / "checkpoints"
        self.adapter = path / "adapter"

    @property
    def holds_a_run(self) -> bool:
        """Whether anything was ever committed here."""
        return self.config.exists() and has_state(self.checkpoints)

    def open(self, config: RunConfig, resume: bool) -> None:
        """Make the folder, or go back into it.

        A folder in which nothing was ever committed is as good as new: whoever mistyped a path or a key
        corrects it and runs again.

        Raises
        ------
        ShepherdError
            If there is a run already and `resume` is off, if it is of another config, if something else is kept
            there that a run would overwrite, or if the folder cannot be written.
        """
        if self.holds_a_run:
            if not resume:
                raise ShepherdError(
                    f"{self.path} already holds a run; add --resume to go on with it, or choose "
                    "another run.name."
                )
            self._check_same(config)
        else:
            self._refuse_others_files(resume)
        with explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            if not os.access(self.path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def _refuse_others_files(self, resume: bool) -> None:
        """Refuse to overwrite what no run of ours has left here, and an adapter whose checkpoints were deleted."""
        others = [self.path / name for name in ("environment.json", "allocation.json", "report.html")]
        written = [
            self.config,
            self.metrics,
            self.answers,
            self.selection,
            self.checkpoints,
            self.adapter,
            *others,
        ]
        found = [path.name for path in written if path.exists()]
        if found and not (self.path / _LOCK).exists():
            raise ShepherdError(
                f"{self.path} is no run directory, and a run would overwrite its {found[0]}; choose another run.name."
            )
        if self.adapter.exists() and not resume:
            raise ShepherdError(
                f"{self.path} holds an adapter, and no checkpoint to go on from; choose another run.name."
            )

    def write_config(self, config: RunConfig) -> None:
        """Write the resolved config, from which the run can be repeated."""
        write_atomically(self.config, config.to_yaml())

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other process from writing here; a killed one holds nothing.

        Raises
        ------
        ShepherdError
            If another process is at it.
        """
        taken = f"{self.path} is in use by another shepherd; wait for it to end, or choose another run.name."
        with held(self.path / _LOCK, taken):
            self._sweep()
            yield

    def _sweep(self) -> None:
        """Remove what a killed process left half written."""
        for folder in (self.path, self.checkpoints):
            for pattern in (".*.partial", ".*.old"):
                for left in folder.glob(pattern):
                    shutil.rmtree(left) if left.is_dir() else left.unlink()

    def commit(self, state: RunState, lines: Sequence[dict[str, Any]], keep: int) -> RunState:
        """Append `lines` to the metrics and make `state` the newest checkpoint.

        A kill before the checkpoint's rename leaves lines that `restore` cuts off again.
        """
        with explained(self.metrics), self.metrics.open("ab") as stream:
            stream.truncate(state.metrics_bytes)
            for line in lines:
                stream.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
            end = stream.tell()
        committed = replace(state, metrics_bytes=end)
        with explained(self.checkpoints):
            return save_state(committed, self.checkpoints, keep)

    def committed_elsewhere(self, state: RunState) -> RunState:
        """Return `state` as the main process commits it."""
        return filed_state(state, self.checkpoints)

    def restore(self, like: Adapter) -> RunState | None:
        """Return the newest committed state, or None; metrics beyond it are cut off."""
        state = load_state(self.checkpoints, like)
        drop_uncommitted(self.checkpoints, 0 if state is None else state.round)
        end = 0 if state is None else state.metrics_bytes
        if self.metrics.exists():
            if self.metrics.stat().st_size < end:
                raise ShepherdError(
                    f"{self.metrics} is shorter than when its last round was committed; restore the file, "
                    "or delete the run directory and start again."
                )
            with explained(self.metrics):
                os.truncate(self.metrics, end)
        elif end:
            raise ShepherdError(
                f"{self.metrics} is gone; restore it, or delete the run directory and start again."
            )
        return state

    def committed(self, like: Adapter) -> RunState:
        """Return the newest committed state, for a process that only reads.

        Raises
        ------
        ShepherdError
            If there is none: the processes do not see the same folder.
        """
        state = load_state(self.checkpoints, like)
        if state is None:
            raise ShepherdError(
                f"This process does not see the run in {self.path}; give all processes the same run.root."
            )
        return state

    def check_unchanged(self, environment: dict[str, Any]) -> None:
        """Refuse to go on with other data or another base model than the run began with.

        Raises
        ------
        ShepherdError
            Naming what has changed.
        """
        path = self.path / "environment.json"
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ShepherdError(
                f"{path} cannot be read; restore it, or delete the run directory and start again."
            ) from error
        for what, part, key in (
            ("training data", "data", "encoded_fingerprint"),
            ("hold-out", "data", "holdout_fingerprint"),
            ("base model", "base_model", "fingerprint"),
            ("trace of the devices", "system", "fingerprint"),
            ("file of the clients' capacities", "capacity", "fingerprint"),
        ):
            if before.get(part, {}).get(key) != environment.get(part, {}).get(key):
                raise ShepherdError(
                    f"The {what} has changed since {self.path} was begun; bring the old one back to go on, or "
                    "choose another run.name."
                )

    def write_adapter(
        self,
        adapter: Adapter,
        peft_config: dict[str, Any],
        residual: Tree,
        made: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        """Write the adapter in PEFT's form, together with what was added to the base; see `write_exported`."""
        write_exported(self.adapter, adapter, peft_config, residual, made)

    def write_answers(self, answers: Sequence[dict[str, Any]]) -> None:
        """Write the answers of the last evaluation that asked for some."""
        write_atomically(self.answers, "".join(json.dumps(a, ensure_ascii=False) + "\n" for a in answers))

    def write_selection(self, sketch: dict[str, Any]) -> None:
        """Write the sketch of the last selection: thousands of points, so not one coordinate a line."""
        write_atomically(self.selection, json.dumps(sketch) + "\n")

    def write(self, name: str, value: Any) -> None:
        """Write a JSON file of the run."""
        write_json(self.path / name, value)

    def _check_same(self, config: RunConfig) -> None:
        """Refuse to resume under another config; where a run is kept may change."""
        before = _flat(yaml.safe_load(self.config.read_text(encoding="utf-8")) or {})
        now = _flat(config.resolved())
        if differing := _differing(before, now):
            said = [_difference(key, before.get(key), now.get(key)) for key in differing[:_SHOWN]]
            more = len(differing) - len(said)
            rest = f", and {more} more {'difference' if more == 1 else 'differences'}" if more else ""
            raise ShepherdError(
                f"{self.path} was run {' and '.join(said)}{rest}; resume with its own config.yaml, or choose another "
                "run.name."
            )


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the keys whose values differ, but for where the run is kept; of another algorithm its name alone."""
    keys = sorted(
        key
        for key in before.keys() | now.keys()
        if not key.startswith("run.") and before.get(key) != now.get(key)
    )
    others = tuple(key.removesuffix("name") for key in keys if key.endswith(".name"))
    return [key for key in keys if not _below(key, others)]


def _below(key: str, sections: Sequence[str]) -> bool:
    """Say whether a key is a setting of one of the sections, and not the section's name."""
    return any(key.startswith(section) and key != f"{section}name" for section in sections)


def _difference(key: str, before: Any, now: Any) -> str:
    """Return how a run was configured, and how it is now, where nothing stands for a key that is not set."""
    if before is None:
        return f"without {key}={now}"
    return f"with {key}={before}, not {'without it' if now is None else now}"


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    return {
        key: inner
        for name, part in value.items()
        for key, inner in _flat(part, f"{prefix}.{name}" if prefix else str(name)).items()
    }
