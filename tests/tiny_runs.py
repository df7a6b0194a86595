"""The plain values of a config that runs in a second or two, for fixtures of every room."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def tiny_values(base: Path, root: Path, name: str = "tiny", **changes: Any) -> dict[str, Any]:
    """Return them, with whole sections changed."""
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
