"""TensorBoard, W&B and MLflow, through Accelerate's trackers: told every figure of every round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from shepherd.config import RunConfig
from shepherd.errors import ShepherdError
from shepherd.observer import Observer


class TrackerObserver(Observer):
    """Passes the figures of a committed round on to one of Accelerate's trackers."""

    def __init__(self, tracker: Any) -> None:
        self.tracker = tracker

    def committed(self, state: Any, lines: Sequence[dict[str, Any]]) -> None:
        """Pass on the round's and the global figures, named scope/figure."""
        for line in lines:
            if line["scope"] in ("global", "round"):
                self.tracker.log(dict(_figures(line, line["scope"])), step=line["round"])


def _figures(values: dict[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _figures(value, f"{prefix}/{key}")
        elif isinstance(value, int | float) and key != "round":
            yield f"{prefix}/{key}", value


@contextmanager
def start_trackers(config: RunConfig) -> Iterator[list[TrackerObserver]]:
    """Start the trackers the config asks for, and finish them when the run ends, however it ends."""
    trackers = [_start(name, config) for name in config.run.trackers]
    try:
        yield [TrackerObserver(tracker) for tracker in trackers]
    finally:
        for tracker in trackers:
            tracker.finish()


def _start(name: str, config: RunConfig) -> Any:
    from accelerate import tracking
    from accelerate.state import PartialState

    PartialState()
    cls = {
        "tensorboard": tracking.TensorBoardTracker,
        "wandb": tracking.WandBTracker,
        "mlflow": tracking.MLflowTracker,
    }[name]
    places = {"logging_dir": str(config.run.directory)} if cls.requires_logging_directory else {}
    try:
        tracker = cls(name if name == "tensorboard" else "shepherd", **places)
        if hasattr(tracker, "start"):
            tracker.start()
        tracker.store_init_configuration(_plain(config.resolved()))
    except ImportError as error:
        raise ShepherdError(
            f"run.trackers asks for {name}, which is not installed; pip install {name}, or leave it out."
        ) from error
    return tracker


def _plain(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten the config to what every tracker can store."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _plain(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, bool | int | float | str) else str(value)
    return flat
