"""A config that runs in a second or two, and what tests of every room look at in a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from shepherd.config import RunConfig, parse_config
from shepherd.observer import Observer


def tiny_values(base: Path, root: Path, name: str = "tiny", **changes: Any) -> dict[str, Any]:
    """Return the plain values of a tiny config, with whole sections changed."""
    return {
        "rounds": 3,
        "model": {"base": str(base)},
        "adapter": {"name": "lora", "rank": 2},
        "data": {
            "path": "meadow",
            "rows": 96,
            "prompt": "plain",
            "max_tokens": 64,
            "holdout": {"name": "per_category", "count": 2},
        },
        "allocation": {"name": "dirichlet", "clients": 5, "alpha": 1.0, "min_examples": 4},
        "participation": {"name": "random", "count": 2},
        "training": {"lr": 1e-2, "batch_size": 4},
        "evaluation": {"answers": 2, "max_new_tokens": 4},
        "run": {"root": str(root), "name": name, "threads": 1},
        **changes,
    }


def named(values: dict[str, Any], name: str = "tiny", **changes: Any) -> RunConfig:
    """Return the config of plain values under another name, with whole sections changed."""
    return parse_config({**values, **changes, "run": {**values["run"], "name": name}})


def adapter_bytes(config: RunConfig) -> bytes:
    """Return the file of a finished run's adapter."""
    return (config.run.directory / "adapter" / "adapter_model.safetensors").read_bytes()


def lines(config: RunConfig) -> list[dict[str, Any]]:
    """Return a run's lines of metrics without what depends on the machine."""
    found = [json.loads(line) for line in (config.run.directory / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "machine"} for line in found]


class Stop(Observer):
    """Interrupts after a round."""

    def __init__(self, after: int) -> None:
        self.after = after

    def committed(self, state: Any, _: Any) -> None:
        if state.round == self.after:
            raise KeyboardInterrupt
