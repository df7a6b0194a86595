"""Running a site: a SuperNode beside this process, which carries messages; the training is done here."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from shepherd.deploy import supernode
from shepherd.deploy.bundle import Bundle
from shepherd.deploy.child import Child
from shepherd.deploy.flower_shell import be_quiet, check_release
from shepherd.deploy.private_files import private_folder, private_log, write_private
from shepherd.deploy.site import Site
from shepherd.deploy.team import Team, follow, teamed
from shepherd.deploy.wire import Envelope
from shepherd.files import held

log = logging.getLogger(__name__)
#: What Flower's SuperNode says when it cannot go on, and what that means to a site's owner.
_MEANINGS = (
    (
        "CERTIFICATE_VERIFY_FAILED",
        "The coordinator shows a certificate that has ended, that is for another name, or that this bundle's ca.pem "
        "did not sign; ask the coordinator to renew it (`shepherd federation renew`), and whether bundle and address "
        "are right.",
    ),
    (
        "[code: 2004]",
        "The coordinator does not let this site in: its key is not on the list, or the site's last connection is not "
        "yet given up (which takes half a minute). Trying again.",
    ),
    (
        "401 Unauthorized",
        "The coordinator does not believe this site's signature: mostly a clock, here or there, is off by more than "
        "five minutes; `shepherd doctor` shows the difference. Trying again.",
    ),
    ("Connection attempt failed", "The coordinator at {address} cannot be reached. Trying again."),
    ("does not recognize", "The coordinator no longer knows this connection. Connecting anew."),
)


def work(
    bundle: Bundle,
    site: Site,
    stopped: threading.Event,
    told: Callable[[str], None] = lambda sentence: None,
    answered: Callable[[Envelope, Envelope, float], None] = lambda asked, answer, seconds: None,
) -> None:
    """Take part in a federation until told to stop; of several processes, only the first one is the site.

    Parameters
    ----------
    bundle : Bundle
        Who the site is, with its key; checked already.
    site : Site
        Answers; `readiness.readiness` has found its data readable and its folder good.
    stopped : threading.Event
        Ends it.
    told : callable
        Given a sentence when the connection changes.
    answered : callable
        Told each question, its answer, and the seconds it took.

    Raises
    ------
    ShepherdError
        If another release of Flower is installed, the site's folder cannot be written, another process is this
        site already, or its processes no longer work together.
    """
    check_release()
    folder = site.folder
    os.umask(0o077)  # what is encoded and remembered is nobody else's on this machine
    private_folder(folder)
    private_folder(folder / "flower")
    with teamed() as processes:
        if not processes.main:
            follow(processes, site)
            return
        site.team = Team(processes)
        with suppress(_TeamBroken):
            _answer(bundle, site, stopped, told, answered)
        site.team.dismiss()


class _TeamBroken(BaseException):
    """Ends the site without an answer, so that the coordinator asks again, as it does of one that was killed."""


def _answer(
    bundle: Bundle,
    site: Site,
    stopped: threading.Event,
    told: Callable[[str], None],
    answered: Callable[[Envelope, Envelope, float], None],
) -> None:
    """Answer what a SuperNode brings."""

    settled = threading.Event()  # no answer is on its way to the coordinator
    settled.set()

    def answer(asked: Envelope) -> Envelope:
        """Answer a question, unless the processes broke up over it."""
        settled.clear()
        said = site.answer(asked)
        if site.team.broken:
            raise _TeamBroken
        return said

    folder = site.folder
    with (
        held(folder / ".lock", f"Another process is the site in {folder}; stop it first."),
        ExitStack() as stack,
    ):
        be_quiet(folder / "flower")
        from shepherd.deploy.flower_worker import FlowerWorker

        secret, port = secrets.token_bytes(32), _free_port()
        write_private(folder / "secret", secret)
        heard = stack.enter_context(private_log(folder / "supernode.log"))
        command = supernode.command(bundle, folder, port)
        node = Child(command, supernode.process_environment(folder))
        node.heard = _Listener(heard.write, told, bundle.settings.address, node.restart, settled.set).hear

        def dropped() -> None:
            """Have the SuperNode begin anew; the answer that it was to carry is lost."""
            settled.set()
            node.restart()

        stack.enter_context(node)
        FlowerWorker(f"127.0.0.1:{port}", secret, answer, answered, dropped).work(stopped)
        if not settled.is_set():
            told("The last answer is on its way to the coordinator; a second signal leaves it behind.")
        if not settled.wait(_CARRIED_S):
            log.warning("The last answer did not reach the coordinator, which asks again.")


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C or a SIGTERM sets; a second one ends the process at once."""
    stopped = threading.Event()

    def stop(number: int, frame: object) -> None:
        """Stop after the message that is being answered."""
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


#: The SuperNode gave a message up half way, as when its run ended: it leaves the site's process waiting for the rest.
_ABANDONED = "Ignoring message"
#: It has carried an answer to the coordinator, or carries it no more.
_SETTLED = ("Sent successfully", "Ignoring reply message", "An answer was lost", "SuperNode ID")
#: Seconds that a site which is told to stop gives its last answer to reach the coordinator.
_CARRIED_S = 60.0


class _Listener:
    """Understands what the SuperNode says, and says it once."""

    def __init__(
        self,
        write: Callable[[str], object],
        told: Callable[[str], None],
        address: str,
        restart: Callable[[], None] = lambda: None,
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        self.write, self.told, self.address = write, told, address
        self.restart, self.settled = restart, settled
        self.last = ""

    def hear(self, line: str) -> None:
        """Keep a line; tell what it means, unless that was said last."""
        if _ABANDONED in line:
            self.restart()
        if any(sign in line for sign in _SETTLED):
            self.settled()
        try:
            self.write(line + "\n")
        finally:  # a full disk keeps nobody from hearing
            self._tell(line)

    def _tell(self, line: str) -> None:
        sentence = "Connected to the coordinator." if "SuperNode ID" in line else self._meaning(line)
        if sentence and sentence != self.last:
            self.last = sentence
            self.told(sentence)

    def _meaning(self, line: str) -> str:
        for sign, meaning in _MEANINGS:
            if sign in line:
                return meaning.format(address=self.address)
        return ""


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
