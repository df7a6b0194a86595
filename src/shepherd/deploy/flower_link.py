"""The coordinator's end of Flower: this process acts as the ServerApp of a run, and is told who is connected.

Flower has no public way to run a ServerApp in one's own process, so private names of release 1.41 are used, here and in
the few modules that docs/architecture.md names and a test holds it to.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from types import TracebackType
from typing import Any

import httpx
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from flwr.app import Message
from flwr.cli.build import build_fab_from_files
from flwr.common.constant import SubStatus
from flwr.common.serde import context_from_proto, fab_to_proto, run_from_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    UnregisterNodeRequest,
)
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    PullTaskInputRequest,
    PushTaskOutputRequest,
    SendTaskHeartbeatRequest,
)
from flwr.supercore.constant import TaskType
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.fab import Fab
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.protobuf.client import ProtobufCall, ProtobufRequestContext
from flwr.supercore.run import RunNotRunningException
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid import HttpGrid

from shepherd.deploy.exchange import Received
from shepherd.deploy.flower_answers import Answers
from shepherd.deploy.flower_calls import LOST, patient, task_taker
from shepherd.deploy.flower_records import TYPES, to_records
from shepherd.deploy.flower_shell import SHELL
from shepherd.deploy.gate import HEADER, operator_token
from shepherd.deploy.reach import Reach
from shepherd.deploy.wire import Envelope
from shepherd.errors import ShepherdError

log = logging.getLogger(__name__)
_HEARTBEAT_S, _RETRY_S = 10.0, 5.0
#: A site may ask for a message before the last of it has reached the SuperLink, and then asks again; so few at once.
_AT_ONCE = 4


class _Operator:
    """Says at the gate that this is the coordinator."""

    def __init__(self, secret: bytes) -> None:
        self.token = operator_token(secret)

    def intercept(self, context: ProtobufRequestContext, call_next: ProtobufCall) -> httpx.Response:
        """Add the header."""
        context.request.headers[HEADER] = self.token
        return call_next(context)


class FlowerLink:
    """Carries envelopes through a SuperLink on this machine.

    Parameters
    ----------
    address : str
        The SuperLink's, ``host:port``, as this machine reaches it.
    authority : bytes
        The CA certificate, in PEM form.
    secret : bytes
        The federation's.
    sites : callable
        Returns the public key of every site that is to be admitted, by name; it is asked again and again, so that who
        is removed is put out also while a run goes on.
    """

    def __init__(
        self, address: str, authority: bytes, secret: bytes, sites: Callable[[], Mapping[str, bytes]]
    ) -> None:
        self.address, self.secret, self.sites = address, secret, sites
        self._tls: dict[str, Any] = {"insecure": False, "root_certificates": authority}
        self._control = ControlHttpClient.from_server_address(
            address,
            interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr CLI"), _Operator(secret)],
            retry_invoker=patient(_RETRY_S),
            **self._tls,
        )
        self._nodes: dict[int, str] = {}
        self._grid: Any = None
        self._answers: Answers | None = None
        self._run = 0
        self._out: set[str] = set()  # the messages that an answer may come to
        self._stopped = threading.Event()
        self._beginning = threading.Lock()
        self._reach = Reach()
        self._damaged: set[str] = set()  # sites of whose keys it was said that they cannot be used

    def __enter__(self) -> FlowerLink:
        try:
            self._admit()
            self._begin_run()
        except LOST as error:
            raise ShepherdError(
                f"The SuperLink does not serve its coordinator ({in_a_word(error)}); state/superlink.log in the "
                "federation's folder says more. Start the coordinator again."
            ) from error
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        if self._answers is not None:
            self._answers.stop()
        status = SubStatus.COMPLETED if kind is None else SubStatus.FAILED
        with contextlib.suppress(*LOST):
            request = PushTaskOutputRequest(sub_status=status, details=kind.__name__ if kind else "")
            self._grid._runtime_client.PushTaskOutput(request)
        with contextlib.suppress(*LOST):
            self._grid.close()

    def _admit(self) -> None:
        """Have exactly the federation's sites admitted; one whose key is damaged stays as it was."""
        nodes = self._control.ListNodes(ListNodesRequest()).nodes_info
        known = {bytes(node.public_key): node for node in nodes if node.status != "unregistered"}
        wanted = self._usable_keys({bytes(node.public_key) for node in nodes} - known.keys())
        kept = {node.node_id: node.name for node in known.values() if node.name in self._damaged}
        for key in known.keys() - wanted.keys():
            if known[key].node_id not in kept:
                self._control.UnregisterNode(UnregisterNodeRequest(node_id=known[key].node_id))
        admitted = kept | {known[key].node_id: name for key, name in wanted.items() if key in known}
        for key in wanted.keys() - known.keys():
            request = RegisterNodeRequest(public_key=key, name=wanted[key])
            admitted[self._control.RegisterNode(request).node_id] = wanted[key]
        self._nodes = admitted

    def _usable_keys(self, removed: Collection[bytes] = ()) -> dict[bytes, str]:
        """Return the sites by their keys; of a key that cannot be used it is said once whose it is.

        The SuperLink takes no key again that was `removed` from it during this run.
        """
        found: dict[bytes, str] = {}
        damaged: dict[str, str] = {}
        for name, key in self.sites().items():
            try:
                usable = _canonical(key)
            except (ValueError, UnsupportedAlgorithm):
                damaged[name] = "is damaged"
                continue
            if usable in removed:
                damaged[name] = "was removed during this run, which does not take it again"
            elif (twin := found.setdefault(usable, name)) != name:
                damaged[name] = f"is that of '{twin}'"
        for name in damaged.keys() - self._damaged:
            log.warning(
                "The public key of site '%s' %s, so the site cannot connect anew; restore sites/%s.pub in the "
                "federation's folder, or remove the site and add it again.",
                name,
                damaged[name],
                name,
            )
        self._damaged = set(damaged)
        return found

    def online(self) -> Collection[str]:
        """Return the names of the connected sites; none while the SuperLink is being started again."""
        nodes = self._nodes  # the thread that admits sites replaces it
        with self._kept_up():
            connected = {nodes[node] for node in self._grid.get_node_ids() if node in nodes}
            self._reach.reached()
            return connected
        return ()

    def admitted(self) -> Collection[str]:
        """Return the names of the sites that the federation has, as of a few seconds ago.

        Raises
        ------
        ShepherdError
            If the SuperLink has been away for minutes: whoever waits for sites asks this again and again.
        """
        self._reach.check()
        return set(self._nodes.values())

    def send(self, messages: Mapping[str, Envelope], seconds: float) -> dict[str, str]:
        """Push one message a site; none goes out while the SuperLink is being started again."""
        ids = {name: node for node, name in self._nodes.items()}
        waiting = [(site, envelope) for site, envelope in messages.items() if site in ids]
        sent: dict[str, str] = {}
        with self._kept_up():
            while waiting:
                some, waiting = waiting[:_AT_ONCE], waiting[_AT_ONCE:]
                pushed = [to_message(envelope, ids[site], seconds) for site, envelope in some]
                found = zip((site for site, _ in some), self._grid.push_messages(pushed), strict=True)
                gone = {site: id for site, id in found if id}
                self._out.update(gone.values())
                sent.update(gone)
                self._reach.reached()
        return sent

    def receive(self, ids: Collection[str]) -> list[Received]:
        """Return what has come; a message that was out when its run was lost comes back as lost."""
        out = self._out.intersection(ids)
        lost = [Received(id, reason="the SuperLink was gone", again=True) for id in ids if id not in out]
        with self._kept_up():
            come = self._answers.look(out) if self._answers is not None else []
            self._out.difference_update(one.id for one in come)
            return [*lost, *come]
        return lost

    @contextlib.contextmanager
    def _kept_up(self) -> Iterator[None]:
        """Let a SuperLink that is away be away; one that no longer knows this run is given a new one, once."""
        before = self._grid
        try:
            yield
        except RuntimeError:
            if not self._stopped.is_set():  # or else its client was closed just now
                raise
        except httpx.TransportError as error:
            self._reach.missed(in_a_word(error))
        except (httpx.HTTPStatusError, RunNotRunningException) as error:
            if self._stopped.is_set():
                return  # it was ended just now
            if isinstance(error, httpx.HTTPStatusError) and error.response.status_code != 401:
                self._reach.missed(in_a_word(error))
                return
            with self._beginning:
                if self._grid is before:  # or else another thread met the same, and has begun it
                    log.warning(
                        "The SuperLink no longer knows this run (%s); it is begun again.", in_a_word(error)
                    )
                    try:
                        self._begin_run()
                    except LOST as trouble:
                        self._reach.missed(in_a_word(trouble))

    def _begin_run(self) -> None:
        """Stop what an earlier coordinator left, and become the ServerApp of a new run."""
        self._out.clear()
        for run in self._control.ListRuns(ListRunsRequest()).run_dict.values():
            if run.status.status != "finished":
                self._control.StopRun(StopRunRequest(run_id=run.run_id))
        fab, _ = build_fab_from_files({"pyproject.toml": SHELL})
        wrapped = fab_to_proto(Fab(hashlib.sha256(fab).hexdigest(), fab, {}))
        self._run = self._control.StartRun(StartRunRequest(fab=wrapped, federation="")).run_id
        grid = HttpGrid(self.address, token=self._token(), **self._tls)
        grid._retry_invoker = patient(_RETRY_S)
        given = grid._runtime_client.PullTaskInput(PullTaskInputRequest())
        # Flower's messages take their run from these, which is why a process has one run at a time.
        TaskIdentity.task_id, TaskIdentity.run_id = given.task_id, given.run.run_id
        TaskIdentity.node_id = context_from_proto(given.context).node_id
        grid.set_run(run_from_proto(given.run))
        if self._answers is not None:
            self._answers.stop()
        self._answers = Answers(grid, self._run)
        self._grid = grid  # last, so that nobody meets one that is not ready

    def _token(self, seconds: float = 60.0) -> str:
        """Return the token of this run's task; older tasks, which nobody works on any more, are passed over."""
        client = task_taker(self.address, self.secret, "shepherd", _RETRY_S, self._tls)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            answer = client.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.SERVER_APP]))
            if answer.HasField("task") and answer.task.run_id == self._run:
                client.close()
                return str(answer.token)
            time.sleep(0.05)
        raise ShepherdError(
            "The SuperLink did not give this run its task; start the coordinator again with --resume."
        )

    def _beat(self) -> None:
        """Say again and again that this run is alive, and who is admitted."""
        while not self._stopped.wait(_HEARTBEAT_S):
            try:
                with self._kept_up():
                    self._grid._runtime_client.SendTaskHeartbeat(SendTaskHeartbeatRequest())
                    self._reach.reached()
                    self._admit()
            except Exception as error:  # a list that is being changed, a damaged key
                log.warning("The list of sites cannot be read (%s); it stays as it was.", error)


def to_message(envelope: Envelope, node: int, seconds: float) -> Message:
    """Return an envelope as Flower's message to a node, good for so many seconds."""
    return Message(
        to_records(envelope),
        dst_node_id=node,
        message_type=TYPES[envelope.kind],
        group_id=str(envelope.round),
        ttl=max(1.0, seconds),
    )


def in_a_word(error: BaseException) -> str:
    """Return an error of a call in a word: the answer's number, or the error's name."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"HTTP {error.response.status_code}"
    return type(error).__name__


def _canonical(public_key: bytes) -> bytes:
    """Return a public key in the form in which the SuperLink keeps it."""
    key = load_ssh_public_key(public_key)
    if not isinstance(key, EllipticCurvePublicKey):
        raise ValueError("the SuperLink takes keys on elliptic curves only")
    return public_key_to_bytes(key)
