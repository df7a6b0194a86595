"""Flower's SuperNode, as a process of its own: ``python -m shepherd.deploy.supernode BUNDLE STATE PORT``.

The site starts and restarts it. It carries messages between the coordinator and the site's process, through a port of
this machine that only who knows a secret made for it may use. It runs no code that it is sent.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from shepherd.deploy.bundle import Bundle
from shepherd.deploy.child import die_with_parent
from shepherd.deploy.flower_shell import environment

#: Seconds between two signs of life, where Flower has 30: a site that is gone is noticed after twice as many.
HEARTBEAT_S = 10


def command(bundle: Bundle, state: Path, port: int) -> list[str]:
    """Return the command that starts it."""
    return [sys.executable, "-m", __name__, str(bundle.path), str(state), str(port)]


def process_environment(state: Path) -> dict[str, str]:
    """Return what the command is started with."""
    return environment(state / "flower", {"FLWR_LOG_LEVEL": "INFO"})  # its words are listened to


class Pauses:
    """How long the SuperNode waits between two looks for a message, where Flower always has 3 seconds.

    Right after a message the next one is near; a site that has waited for a minute is asked for little. So a site looks
    again after a twentieth of the time that it has waited: a hundred idle sites do not keep a coordinator busy, and no
    site makes a round longer by more than a twentieth.
    """

    SHORTEST_S, LONGEST_S, SHARE = 0.25, 3.0, 0.05
    #: Flower's waits for the site's own process, on this machine, are of half a second.
    _LOCAL_S, _LOOK_S = 0.5, 0.1

    def __init__(self) -> None:
        self.busy = time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait in place of `time.sleep`."""
        if seconds <= self._LOCAL_S:
            self.busy = time.monotonic()
            time.sleep(min(seconds, self._LOOK_S))
        else:
            time.sleep(min(seconds, self.between(time.monotonic() - self.busy)))

    def between(self, waited: float) -> float:
        """Return the seconds until the next look, after so many without a message."""
        return min(self.LONGEST_S, max(self.SHORTEST_S, self.SHARE * waited))


def saying_refusals(activate: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Have a refused signature said, for the site to hear: Flower ends this process without a word."""

    def activated(client: Any, request: Any) -> Any:
        """Activate, and print why that was refused."""
        import httpx

        try:
            return activate(client, request)
        except httpx.HTTPStatusError as error:
            print(error, flush=True)
            raise

    return activated


def ending_when_lost(push_messages: Callable[..., None]) -> Callable[..., None]:
    """Have the process end when an answer cannot be sent: Flower forgets it, and the coordinator would wait in vain.

    Started again by the site, it connects anew, and the coordinator asks again; the site still has its answer.
    """
    from flwr.supercore.run import RunNotRunningException

    def or_ends(carry: Callable[..., Any]) -> Callable[..., Any]:
        """Have an error in `carry` end the process, unless it says that nobody waits any longer."""

        def carried(*what: Any) -> Any:
            """Carry, or end."""
            try:
                return carry(*what)
            except RunNotRunningException:
                raise
            except Exception as error:
                print(f"An answer was lost on its way ({type(error).__name__}).", flush=True)
                os._exit(1)

        return carried

    def pushed(**parts: Any) -> None:
        """Push the answers that wait."""
        push_messages(**parts | {name: or_ends(parts[name]) for name in ("send", "push_object")})

    return pushed


def end_with_any_thread() -> None:
    """Have the process end when one of its threads fails, so that the site starts it again.

    Flower's thread that gives signs of life ends at the first answer it does not know, such as a SuperLink's 500 for a
    full disk. Its process would go on looking for messages, and the site would be away for good.
    """
    say = threading.excepthook

    def ended(failure: threading.ExceptHookArgs) -> None:
        """Say what failed, and end."""
        say(failure)
        sys.stderr.flush()
        os._exit(1)

    threading.excepthook = ended


def main(bundle: Bundle, state: Path, port: int) -> None:
    """Carry messages until the process is told to stop."""
    die_with_parent()
    end_with_any_thread()
    os.umask(0o077)
    import flwr.supercore.heartbeat as beats
    import flwr.supernode.fleet_http_connection as connection
    import flwr.supernode.start_client_internal as node
    from flwr.supernode.cli import flower_supernode

    node.time = SimpleNamespace(sleep=Pauses().sleep, time=time.time)  # type: ignore[assignment]
    for module in (connection, beats):
        module.HEARTBEAT_DEFAULT_INTERVAL = HEARTBEAT_S  # type: ignore[attr-defined]
    node._push_messages = ending_when_lost(node._push_messages)
    client: Any = connection.FleetHttpClient
    client.ActivateNode = saying_refusals(client.ActivateNode)
    sys.argv = [
        "flower-supernode",
        "--root-certificates", str(bundle.path / "ca.pem"),
        "--auth-supernode-private-key", str(bundle.path / "site.key"),
        "--superlink", bundle.settings.address,
        "--host", "127.0.0.1", "--port", str(port),
        "--isolation", "process",
        "--superexec-auth-secret-file", str(state / "secret"),
    ]  # fmt: skip
    end_after(flower_supernode)


def end_after(carry: Callable[[], Any]) -> None:
    """Carry until the connection is given up, as after a TLS handshake that took too long, and end the process.

    Flower then only returns, and a thread that serves this machine would keep the process, connected to nobody. Ended,
    it is started again by the site.
    """
    try:
        carry()
    except Exception:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


if __name__ == "__main__":
    main(Bundle(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3]))
