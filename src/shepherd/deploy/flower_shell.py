"""What Flower is told of us, and what it is kept from doing: an app that holds no code, and no calls home."""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from shepherd.errors import ShepherdError

RELEASE = "1.41.0"

#: The app that the SuperLink is given. Its two components are part of the installed Shepherd; a site never runs what
#: the SuperLink sends, it answers with its own release's code.
SHELL = b"""\
[project]
name = "shepherd-shell"
version = "1.0.0"
description = "Names the parts of an installed Shepherd; holds no code"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "shepherd"

[tool.flwr.app.components]
serverapp = "shepherd.deploy.flower_app:server"
clientapp = "shepherd.deploy.flower_app:client"

[tool.flwr.app.config]
"""


def check_release() -> None:
    """Refuse another release of Flower than the one this was built on.

    Raises
    ------
    ShepherdError
        If Flower is missing or another release; parts of it that it does not promise to keep are used.
    """
    try:
        found = importlib.metadata.version("flwr")
    except importlib.metadata.PackageNotFoundError:
        found = "none"
    if found != RELEASE:
        raise ShepherdError(
            f"A federation needs Flower {RELEASE}, and {found} is installed; pip install 'fedshepherd[flower]'."
        )


def environment(home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a Flower process: telemetry, update checks and installing are off.

    Parameters
    ----------
    home : Path
        Flower's folder for this process alone.
    more : mapping, optional
        Further variables.
    """
    return {**os.environ, **_SETTINGS, "FLWR_HOME": str(home), **_no_proxy(), **(more or {})}


def be_quiet(home: Path) -> None:
    """Set the same for this process, before anything of Flower is imported, and keep Flower off the terminal."""
    os.environ.update({**_SETTINGS, "FLWR_HOME": str(home), **_no_proxy()})
    importlib.import_module("flwr.supercore.logger")  # it sets a level of its own when it is imported
    for name in ("flwr", "httpx", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)


_SETTINGS = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "FLWR_LOG_LEVEL": "WARNING",
    "OTEL_SDK_DISABLED": "true",
}


def _no_proxy() -> dict[str, str]:
    """Keep loopback off any proxy; whether the coordinator is reached through one is the owner's to say."""
    named = [name for name in os.environ.get("NO_PROXY", "").split(",") if name]
    return {"NO_PROXY": ",".join(dict.fromkeys([*named, "127.0.0.1", "localhost", "::1"]))}
