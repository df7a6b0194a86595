"""A run directory, read back: what was configured, on what machine, and every figure measured.

It knows what the files hold, not how they are parsed (run_files.py) or how the figures came about.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shepherd.errors import ShepherdError
from shepherd.run_files import Metric, read_config, read_environment, read_json_lines, read_metrics
from shepherd.units import is_number


class NothingEvaluatedError(ShepherdError):
    """The run exists, but no evaluation of it is committed yet."""


@dataclass(frozen=True)
class Record:
    """One run, as its directory tells it.

    Attributes
    ----------
    path : Path
        The run directory.
    label : str
        The name tables and pictures use.
    config, environment : dict
        The resolved config and the machine, versions and fingerprints.
    metrics : list of dict
        The lines of `metrics.jsonl`, in order.
    """

    path: Path
    label: str
    config: dict[str, Any]
    environment: dict[str, Any]
    metrics: list[Metric]

    def scope(self, name: str) -> list[Metric]:
        """Return the metric lines of one scope: global, round, client or selection."""
        return [line for line in self.metrics if line["scope"] == name]

    @property
    def final(self) -> Metric:
        """The last evaluation of the global model."""
        return self.scope("global")[-1]

    @property
    def best(self) -> Metric:
        """The evaluation of the lowest loss (the earliest of equals; a NaN is never best)."""
        lines = [line for line in self.scope("global") if is_number(line["loss"])]
        return min(lines, key=lambda line: line["loss"], default=self.final)

    @property
    def untuned(self) -> Metric | None:
        """The evaluation before any training, where the run made one."""
        return next((line for line in self.scope("global") if line["round"] == 0), None)

    @property
    def starts_at_base(self) -> bool:
        """Whether the evaluation before any training is the untuned base's; virtual tokens change it from the start."""
        return bool((self.environment.get("adapter") or {}).get("starts_at_base", True))

    def as_untuned(self) -> Record | None:
        """Return the untuned base as a run of its own, told by this run's evaluation before any training, if it is."""
        if self.untuned is None or not self.starts_at_base:
            return None
        place = self.path / "baselines" / "untuned"
        return replace(self, path=place, label="untuned", metrics=[self.untuned])

    @property
    def rounds(self) -> int:
        """Rounds trained."""
        return max((line["round"] for line in self.scope("round")), default=self.final["round"])

    @property
    def planned_rounds(self) -> int:
        """Rounds the config asks for."""
        planned = self.config.get("rounds")
        return planned if isinstance(planned, int) else self.rounds

    @property
    def has_all_rounds(self) -> bool:
        """Whether it trained every round it was to train; the untuned base trains none."""
        untuned = self.is_baseline and self.path.name == "untuned"
        return untuned or self.final["round"] >= self.planned_rounds

    @property
    def keeps_own_parts(self) -> bool:
        """Whether parts of the adapter are each client's own; in everybody's, which is tested, they stay untrained."""
        about = self.environment.get("adapter") or {}
        return bool(about.get("own_parameters")) and self.rounds > 0

    @property
    def examples(self) -> int:
        """Examples trained on, repeats counted."""
        return int(self._sum("round", "examples"))

    @property
    def selected(self) -> int:
        """Examples a coreset chose, summed over clients and rounds."""
        return int(self._sum("round", "selected"))

    @property
    def bytes_up(self) -> int:
        """Bytes the clients sent."""
        return int(self._sum("round", "bytes_up"))

    @property
    def bytes_down(self) -> int:
        """Bytes the clients received."""
        return int(self._sum("round", "bytes_down"))

    @property
    def is_baseline(self) -> bool:
        """Whether it lies with the run that it is a baseline of; a baseline trains in one place and sends nothing."""
        return self.path.resolve().parent.name == "baselines"

    @property
    def sends(self) -> bool:
        """Whether it is a run of clients that sent, or were sent, anything."""
        return not self.is_baseline and self.bytes_up + self.bytes_down > 0

    @property
    def round_seconds(self) -> float:
        """Seconds spent in rounds, evaluation left out."""
        return self._seconds("round")

    @property
    def training_seconds(self) -> float:
        """Seconds of the rounds that choosing clients and examples did not take."""
        return self.round_seconds - (self.selection_seconds or 0.0)

    @property
    def selection_seconds(self) -> float | None:
        """Seconds of the rounds spent on choosing clients, polls included, and examples, where they were measured."""
        found = [line.get("machine", {}).get("selection_seconds") for line in self.scope("round")]
        known = [seconds for seconds in found if is_number(seconds)]
        return sum(known) if known else None

    @property
    def total_seconds(self) -> float:
        """Seconds spent in rounds and evaluations."""
        return self.round_seconds + self._seconds("global")

    @property
    def peak_memory_bytes(self) -> int | None:
        """The most memory any round took, where it was measured."""
        peaks = [line.get("machine", {}).get("peak_memory_bytes") for line in self.scope("round")]
        return max((peak for peak in peaks if is_number(peak)), default=None)

    def curve(self, figure: str) -> tuple[list[int], list[float]]:
        """Return (rounds, values) of one figure of the global evaluations, where it was measured."""
        return _curve(self.scope("global"), figure)

    def train_curve(self, figure: str = "train_loss") -> tuple[list[int], list[float]]:
        """Return (rounds, values) of one figure of the rounds, the training loss unless told."""
        return _curve(self.scope("round"), figure)

    def clients(self) -> list[str]:
        """Return the names of the clients that ever took part, in the order of their first round."""
        return list(dict.fromkeys(str(line["client"]) for line in self.scope("client")))

    def answers(self) -> list[dict[str, Any]]:
        """Return the greedy answers of the last evaluated round; none if the run wrote none."""
        return read_json_lines(self.path / "answers.jsonl")

    def baselines(self) -> list[Record]:
        """Return the evaluated baselines: untuned, each client alone, centralised, then any other."""
        found = []
        for folder in self._baseline_folders():
            try:
                found.append(read_record(folder))
            except NothingEvaluatedError:
                continue
        return found

    def unfinished_baselines(self) -> list[str]:
        """Return the labels of the baselines that have yet to start or to finish their rounds."""
        done = {record.label for record in self.baselines() if record.has_all_rounds}
        return [folder.name for folder in self._baseline_folders() if folder.name not in done]

    def _baseline_folders(self) -> list[Path]:
        folder = self.path / "baselines"
        found = folder.iterdir() if folder.is_dir() else iter(())
        return sorted((p for p in found if p.is_dir() and not p.name.startswith(".")), key=_baseline_order)

    def _sum(self, scope: str, figure: str) -> float:
        return sum(line.get(figure, 0) for line in self.scope(scope))

    def _seconds(self, scope: str) -> float:
        return float(sum(line.get("machine", {}).get("seconds", 0.0) for line in self.scope(scope)))


def read_record(path: Path, label: str | None = None) -> Record:
    """Read a run directory.

    Parameters
    ----------
    path : Path
        The run directory.
    label : str, optional
        What to call it; the folder's name unless told.

    Raises
    ------
    ShepherdError
        If the folder is no run directory, a file in it is damaged, or nothing is evaluated yet.
    """
    path = Path(path)
    config, environment, metrics = read_config(path), read_environment(path), read_metrics(path)
    if not any(line["scope"] == "global" for line in metrics):
        raise NothingEvaluatedError(
            f"The run {path} has no committed evaluation yet: let it run, or continue it with --resume."
        )
    return Record(path, label or path.resolve().name, config, environment, metrics)


def _curve(lines: list[Metric], figure: str) -> tuple[list[int], list[float]]:
    measured = [line for line in lines if is_number(line.get(figure))]
    return [line["round"] for line in measured], [float(line[figure]) for line in measured]


def _baseline_order(folder: Path) -> tuple[int, str]:
    name = folder.name
    rank = {"untuned": 0, "centralised": 2}.get(name, 1 if name.startswith("alone-") else 3)
    return rank, name
