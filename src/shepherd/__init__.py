"""Shepherd: federated instruction tuning of language models.

>>> import shepherd
>>> finished = shepherd.run("quickstart")
>>> finished.record.final["loss"]
"""

from shepherd.config import RunConfig, load_config
from shepherd.errors import ShepherdError
from shepherd.run import Run, load_run, run

__all__ = ["Run", "RunConfig", "ShepherdError", "load_config", "load_run", "run"]
__version__ = "0.1.0"
