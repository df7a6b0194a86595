"""Shepherd: federated instruction tuning of language models.

>>> import shepherd
>>> finished = shepherd.run("quickstart")
>>> finished.record.final["loss"]
"""

import os
from typing import TYPE_CHECKING, Any

# Torch reads this when it first takes memory: large tensors in pages of 2 MiB, which Linux has ready in a sixth of the
# time of as many small ones. Whoever sets it keeps what they set.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

if TYPE_CHECKING:
    from shepherd.config import RunConfig, load_config
    from shepherd.errors import ShepherdError
    from shepherd.runs import Run, load_run, run

_HOMES = {
    "Run": "shepherd.runs",
    "RunConfig": "shepherd.config",
    "ShepherdError": "shepherd.errors",
    "load_config": "shepherd.config",
    "load_run": "shepherd.runs",
    "run": "shepherd.runs",
}

__all__ = ["Run", "RunConfig", "ShepherdError", "load_config", "load_run", "run"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: PEFT and transformers take seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module 'shepherd' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
