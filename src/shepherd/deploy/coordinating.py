"""Running the coordinator: the SuperLink beside this process, the link to it, and the run over the sites."""

from __future__ import annotations

import logging
import shutil
import ssl
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from shepherd.config import RunConfig
from shepherd.deploy import superlink
from shepherd.deploy.certificates import read_certificate
from shepherd.deploy.child import Child, wait_until
from shepherd.deploy.coordinator import Coordinator, refuse_simulated
from shepherd.deploy.exchange import Link
from shepherd.deploy.flower_shell import be_quiet, check_release
from shepherd.deploy.folder import FederationFolder
from shepherd.deploy.private_files import private_folder, private_log
from shepherd.deploy.settings import FederationSettings, joined_address
from shepherd.errors import ShepherdError
from shepherd.files import held, is_held
from shepherd.observer import Observer
from shepherd.run_directory import RunDirectory
from shepherd.run_files import is_finished
from shepherd.runs import Run

log = logging.getLogger(__name__)
_STARTING_S = 120.0
_PROBED_S = 1.0  # who looks whether a coordinator runs has the lock for a moment, and is no coordinator
_LOG, _STATUS = "superlink.log", "status.json"


def coordinate(
    folder: FederationFolder,
    config: RunConfig,
    resume: bool = False,
    observers: Sequence[Observer] = (),
    linked: Callable[[Link], None] = lambda link: None,
) -> Run:
    """Run a config over the sites of a federation, to its end.

    Parameters
    ----------
    folder : FederationFolder
        The federation.
    config : RunConfig
        The run.
    resume : bool
        Go on with a run that was stopped.
    observers : sequence of Observer
        Told what happens.
    linked : callable
        Given the link to the sites, once there is one.

    Raises
    ------
    ShepherdError
        For anything that cannot be used; what was committed before is kept.
    """
    check_release()
    refuse_simulated(config)
    settings = folder.settings
    if len(folder.sites()) < settings.minimum_sites:
        raise ShepherdError(
            f"{folder.path} has {len(folder.sites())} sites, and minimum_sites in federation.yaml is "
            f"{settings.minimum_sites}; add some with `shepherd federation add-site {folder.path} NAME`, or lower "
            "minimum_sites."
        )
    taken = f"Another coordinator runs the federation in {folder.path}; stop it first."
    with held(_lock(folder), taken, _PROBED_S):
        with connected(folder) as link:
            linked(link)
            found = Coordinator(config, settings, link, folder.sites(), observers).run(resume)
        forget(folder)
    return found


def finished(config: RunConfig) -> Run | None:
    """Return a run that has nothing left to do, without a model or a connection; None if it has.

    Raises
    ------
    ShepherdError
        If the run is of another config.
    """
    directory = RunDirectory(config.run.directory)
    if not is_finished(directory.path) or not (directory.checkpoints / f"round-{config.rounds:06d}").is_dir():
        return None
    directory.open(config, resume=True)
    return Run(directory.path, config)


def forget(folder: FederationFolder) -> None:
    """Remove what was on its way, which lies in the database's pages; the log and the last status stay."""
    for left in state_of(folder).iterdir():
        if left.name == _STATUS or left.name.startswith(_LOG):
            continue
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def status_file(folder: FederationFolder) -> Path:
    """Return where a running coordinator says how it stands."""
    return state_of(folder) / _STATUS


def is_running(folder: FederationFolder) -> bool:
    """Say whether a coordinator runs the federation now; of a folder that may not be looked into, that one does."""
    try:
        return is_held(_lock(folder))
    except OSError:
        return True


def _lock(folder: FederationFolder) -> Path:
    return folder.path / ".coordinator.lock"


def state_of(folder: FederationFolder) -> Path:
    """Return where a running coordinator keeps what its SuperLink must not forget."""
    return folder.path / "state"


@contextmanager
def connected(folder: FederationFolder) -> Iterator[Link]:
    """Start the SuperLink, and be linked to it; it is started again whenever it ends."""
    state = state_of(folder)
    private_folder(state)
    private_folder(state / "flower")
    be_quiet(state / "flower")
    from shepherd.deploy.flower_link import FlowerLink

    settings, last = folder.settings, deque[str](maxlen=20)
    _refuse_unusable_certificate(folder, settings)
    with ExitStack() as stack:
        heard = stack.enter_context(private_log(state / _LOG))

        def hear(line: str) -> None:
            """Keep what the SuperLink says."""
            last.append(line)
            heard.write(line + "\n")

        command = superlink.command(folder, state)
        child = Child(command, superlink.process_environment(state), hear, pause_s=2.0)
        stack.enter_context(child)
        if (
            not wait_until(lambda: _healthy(folder, settings) or child.starts > 2, _STARTING_S)
            or child.starts > 2
        ):
            raise ShepherdError(_why(last, settings))
        link = FlowerLink(
            local_address(settings),
            folder.authority.read_bytes(),
            folder.secret.read_bytes(),
            lambda: public_keys(folder),
        )
        yield stack.enter_context(link)


def public_keys(folder: FederationFolder) -> dict[str, bytes]:
    """Return every site's key; one that cannot be read is none, and must not keep the others out."""
    found = {}
    for name in folder.sites():
        try:
            found[name] = folder.public_key(name)
        except OSError:
            found[name] = b""
        except ShepherdError:
            continue  # it was removed a moment ago
    return found


def local_address(settings: FederationSettings) -> str:
    """Return where this machine reaches its own SuperLink."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    return joined_address(everywhere.get(settings.bind, settings.bind), settings.port)


def _refuse_unusable_certificate(folder: FederationFolder, settings: FederationSettings) -> None:
    """Refuse a certificate that not even this machine would trust; the SuperLink itself would not say so."""
    facts = read_certificate(folder.certificate)
    fault = facts.fault(datetime.now(UTC))
    if not fault and settings.bind in settings.certificate_names and settings.bind not in facts.names:
        fault = f"is not for {settings.bind}, which bind in federation.yaml names"
    if fault:
        raise ShepherdError(
            f"The coordinator's certificate {fault}; run `shepherd federation renew {folder.path}`, then start the "
            "coordinator again with --resume."
        )


def _healthy(folder: FederationFolder, settings: FederationSettings) -> bool:
    try:
        context = ssl.create_default_context(cafile=str(folder.authority))
        # No proxy stands between this process and its own SuperLink.
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        with opener.open(f"https://{local_address(settings)}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _why(last: Sequence[str], settings: FederationSettings) -> str:
    said = " ".join(last).lower()
    if "address already in use" in said:
        return f"Port {settings.port} is taken; stop what uses it, or change the port in federation.yaml."
    if "cannot assign requested address" in said:
        return f"This machine has no address {settings.bind}; correct bind in federation.yaml."
    end = next((line for line in reversed(last) if line.strip()), "it said nothing")
    return f"The SuperLink does not start ({end[:200]}); `shepherd doctor` looks for the reason."
