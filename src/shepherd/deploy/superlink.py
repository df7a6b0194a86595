"""The SuperLink behind the gate, as a process of its own: ``python -m shepherd.deploy.superlink FOLDER STATE``.

The coordinator starts and restarts it. The database keeps who is registered, and what is on its way.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from shepherd.deploy.child import die_with_parent
from shepherd.deploy.flower_shell import environment
from shepherd.deploy.folder import FederationFolder
from shepherd.deploy.gate import Gate
from shepherd.deploy.polls import Polls
from shepherd.deploy.superlink_pace import ease
from shepherd.deploy.superlink_repeats import take_repeats


def command(folder: FederationFolder, state: Path) -> list[str]:
    """Return the command that starts it."""
    return [sys.executable, "-m", __name__, str(folder.path), str(state)]


def process_environment(state: Path) -> dict[str, str]:
    """Return what the command is started with."""
    return environment(state / "flower")


def main(folder: FederationFolder, state: Path) -> None:
    """Serve until the process is told to stop."""
    die_with_parent(signal.SIGKILL)  # politely it would wait for its connections, and keep the port
    settings = folder.settings
    arguments = [
        "--host", settings.bind, "--port", str(settings.port),
        "--ssl-ca-certfile", str(folder.authority),
        "--ssl-certfile", str(folder.certificate),
        "--ssl-keyfile", str(folder.key),
        "--enable-supernode-auth",
        "--isolation", "process",
        "--superexec-auth-secret-file", str(folder.secret),
        "--database", str(state / "superlink.db"),
    ]  # fmt: skip
    os.umask(0o077)  # the database holds adapters on their way
    from flwr.superlink.cli import flower_superlink

    from shepherd.deploy.superlink_layers import with_plain_layers, without_idle_layers

    ease()
    take_repeats()
    module = importlib.import_module("flwr.superlink.cli.flower_superlink")
    serve = module.uvicorn.run
    secret = folder.secret.read_bytes()

    def behind_gate(app: Any, **options: Any) -> None:
        """Serve Flower's application behind the gate, without a line for every request."""
        options.update(access_log=False, server_header=False, proxy_headers=False)
        behind = Polls(with_plain_layers(without_idle_layers(app)))
        serve(app=Gate(behind, secret, int(settings.largest_message_mb * 10**6)), **options)

    module.uvicorn = SimpleNamespace(run=behind_gate)  # type: ignore[attr-defined]
    sys.argv = ["flower-superlink", *arguments]
    flower_superlink()


if __name__ == "__main__":
    main(FederationFolder(Path(sys.argv[1])), Path(sys.argv[2]))
