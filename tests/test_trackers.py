from __future__ import annotations

from typing import Any

import pytest

from shepherd.config import parse_config
from shepherd.errors import ShepherdError
from shepherd.runs import execute


def test_tensorboard_hears_every_figure(tiny: dict[str, Any]) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tiny["run"]["trackers"] = ["tensorboard"]
    finished = execute(parse_config(tiny))
    events = EventAccumulator(str(finished.directory / "tensorboard")).Reload()
    losses = [event.value for event in events.Scalars("global/loss")]
    assert losses == pytest.approx(finished.record.curve("loss")[1])


def test_a_tracker_that_is_not_installed_is_said(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accelerate.tracking.is_mlflow_available", lambda: False)
    tiny["run"]["trackers"] = ["mlflow"]
    with pytest.raises(ShepherdError, match="mlflow"):
        execute(parse_config(tiny))
