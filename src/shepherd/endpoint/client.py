"""Asking many things at once, each until it is answered or given up, and keeping every answer.

What is stored is not asked; what is answered is stored before anything else happens. It knows neither what is asked
nor what for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from shepherd.endpoint.calls import Caller
from shepherd.endpoint.circuit import Circuit
from shepherd.endpoint.failures import Failure
from shepherd.endpoint.patience import Patience
from shepherd.endpoint.replies import Reply, ReplyStore
from shepherd.endpoint.request import Request
from shepherd.endpoint.settings import EndpointSettings
from shepherd.errors import ShepherdError

log = logging.getLogger(__name__)
_Result = TypeVar("_Result")
#: What servers answer that ask for chats but show nobody their list of models.
_NO_LIST = {403, 404, 405, 501}


def ask(
    settings: EndpointSettings,
    requests: Iterable[Request],
    store: ReplyStore,
    on_reply: Callable[[Reply], None] | None = None,
) -> dict[str, Reply]:
    """Return the reply to every request, by its key and in the requests' order; only what is not stored is asked.

    Parameters
    ----------
    settings : EndpointSettings
        Where, with whose key, how many at once, how patiently.
    requests : iterable of Request
        What to ask; equal requests are asked once.
    store : ReplyStore
        What was answered before, and where answers are kept as they come.
    on_reply : callable, optional
        Given each new reply, once it is stored, in the order they come.

    Raises
    ------
    ShepherdError
        If the endpoint cannot be asked at all, or some requests were given up: how many, and the last reason. What
        was answered is stored, and asking again goes on from there.
    """
    wanted = {request.key: request for request in requests}
    pending = [request for key, request in wanted.items() if store.get(key) is None]
    if pending:
        try:
            _completed(_Asking(settings, pending, store, on_reply).run())
        finally:
            store.close()
    return {key: store.replies[key] for key in wanted}


def check(settings: EndpointSettings) -> None:
    """Ask the server for its list of models, which costs nothing, to learn whether it can be asked at all.

    Raises
    ------
    ShepherdError
        If the openai package or the key is missing, nothing answers in time, the key is refused, or what answers is
        no such server. A server that shows no list passes, as does one in passing trouble: asking is patient.
    """
    failure = _completed(_models(settings))
    if failure is not None and failure.hopeless and failure.status not in _NO_LIST:
        raise ShepherdError(f"Cannot ask '{settings.model}': {failure.reason}.")


async def _models(settings: EndpointSettings) -> Failure | None:
    async with Caller(settings) as caller:
        return await caller.models()


class _Asking:
    """One call of `ask`: its workers, what they share, and what they had to give up."""

    def __init__(
        self,
        settings: EndpointSettings,
        pending: list[Request],
        store: ReplyStore,
        on_reply: Callable[[Reply], None] | None,
    ) -> None:
        self.settings, self.pending, self.store, self.on_reply = settings, pending, store, on_reply
        self.workers = min(settings.concurrency, len(pending))
        self.circuit, self.patience = Circuit(self.workers), Patience(settings.backoff_s)
        self.given_up: list[Failure] = []
        self.waiting_is_said = False

    async def run(self) -> None:
        """Ask everything, `workers` at a time."""
        async with Caller(self.settings) as caller:
            queue = iter(self.pending)
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(self.workers):
                        group.create_task(self._work(caller, queue))
            except ExceptionGroup as errors:
                raise errors.exceptions[0] from None
        if self.given_up:
            raise ShepherdError(
                f"{len(self.given_up)} of {len(self.pending)} requests were not answered; the last: "
                f"{self.given_up[-1].reason}.{self._kept()}"
            )

    async def _work(self, caller: Caller, queue: Iterator[Request]) -> None:
        for request in queue:
            await self._ask(caller, request)

    async def _ask(self, caller: Caller, request: Request) -> None:
        for attempt in range(self.settings.attempts):
            await self.patience.before(request.key, attempt)
            outcome, sent = await caller.attempt(request)
            if isinstance(outcome, Reply):
                return self._keep(outcome, {**sent, "turn": request.turn})
            final = not outcome.again or attempt + 1 == self.settings.attempts
            if self.circuit.failed(outcome, final):
                raise ShepherdError(f"Cannot ask '{request.model}': {outcome.reason}.{self._kept()}")
            if final:
                return self.given_up.append(outcome)
            self.patience.heed(outcome.wait_s)
            self._say_waiting(outcome, self.patience.wait_s(request.key, attempt + 1))

    def _keep(self, reply: Reply, asked: dict[str, Any]) -> None:
        self.store.add(reply, asked)
        self.circuit.answered()
        if self.on_reply is not None:
            self.on_reply(reply)

    def _say_waiting(self, failure: Failure, wait_s: float) -> None:
        """Say, once, why nothing seems to happen."""
        if not self.waiting_is_said:
            self.waiting_is_said = True
            log.warning(
                "%s: %s, trying again in %.0f s; every request is tried up to %d times, and later waits are longer.",
                self.settings.url,
                failure.briefly,
                wait_s,
                self.settings.attempts,
            )

    def _kept(self) -> str:
        if not self.store.replies:
            return ""
        return f" What was answered is kept in {self.store.path}; give the command again to go on."


def _completed(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Return what `work` comes to, also where a loop is running already, as in a notebook."""
    if not _is_running():
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def _is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
