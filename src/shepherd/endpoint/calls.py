"""One attempt: a request goes out, and a reply or the reason why there is none comes back; nothing is raised."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from shepherd.endpoint.completion import read_reply
from shepherd.endpoint.dialect import Dialect
from shepherd.endpoint.failures import Endpoint, Failure, is_html
from shepherd.endpoint.replies import Reply
from shepherd.endpoint.request import Request
from shepherd.endpoint.settings import EndpointSettings, is_here, read_key
from shepherd.errors import ShepherdError, first_line

if TYPE_CHECKING:
    from openai import AsyncOpenAI


class Caller:
    """A connection to a server, in the dialect it turned out to speak.

    Parameters
    ----------
    settings : EndpointSettings
        Where, and how patiently.

    Raises
    ------
    ShepherdError
        If the openai package is missing, or a key is needed and there is none.
    """

    def __init__(self, settings: EndpointSettings) -> None:
        self.endpoint = Endpoint(settings, read_key(settings))
        self.dialect = Dialect()
        self._client = _client(settings, self.endpoint.key)

    async def __aenter__(self) -> Caller:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def attempt(self, request: Request) -> tuple[Reply | Failure, dict[str, Any]]:
        """Return the reply or the failure, and what was sent.

        A server that refuses a parameter is asked again without it, and so are all after it.
        """
        while True:
            dialect = self.dialect
            body = dialect.body(request)
            outcome = await self._send(body, request)
            adapted = dialect
            if isinstance(outcome, Failure) and outcome.own:
                adapted = dialect.after(outcome.said)
            if adapted == dialect:
                return outcome, body
            self.dialect = self.dialect.joined(adapted)

    async def models(self) -> Failure | None:
        """Return why the server cannot even be asked which models it has; None if it can."""
        outcome = await self._guarded(self._client.get("/models", cast_to=str))
        if isinstance(outcome, Failure):
            return outcome
        return self.endpoint.foreign("HTML") if is_html(outcome) else None

    async def _send(self, body: dict[str, Any], request: Request) -> Reply | Failure:
        # Not chat.completions.create(), which looks at every message twice and so takes a third of the time of a call.
        outcome = await self._guarded(self._client.post("/chat/completions", cast_to=str, body=body))
        return outcome if isinstance(outcome, Failure) else read_reply(outcome, request, self.endpoint)

    async def _guarded(self, answer: Awaitable[str]) -> str | Failure:
        import openai

        try:
            # The client's own timeout starts anew with every byte; a reply that trickles in is none.
            async with asyncio.timeout(self.endpoint.settings.timeout_s):
                return await answer
        except (TimeoutError, openai.APITimeoutError):
            return self.endpoint.silent()
        except openai.APIStatusError as error:
            return self.endpoint.status(error.status_code, error.response.headers, error.response.text)
        except openai.APIConnectionError as error:
            return self._unconnected(error)
        except openai.OpenAIError as error:
            return self.endpoint.broken(first_line(error))

    def _unconnected(self, error: BaseException) -> Failure:
        causes = list(_causes(error))
        system = next((cause for cause in causes if isinstance(cause, OSError) and cause.errno), None)
        # By its name, since it is the HTTP library's, and that changes from one release of openai to another.
        if any(type(cause).__name__ == "ConnectError" for cause in causes):
            return self.endpoint.unreachable(_reason(system) if system else first_line(causes[0]))
        return self.endpoint.broken(first_line(error.__cause__ or error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return error.strerror or first_line(error)


def _client(settings: EndpointSettings, key: str) -> AsyncOpenAI:
    try:
        import openai
    except ImportError as error:
        raise ShepherdError(
            "Asking an endpoint needs the openai package; install it with: pip install 'fedshepherd[judge]'"
        ) from error
    here = is_here(settings.url)
    return openai.AsyncOpenAI(
        api_key=key,
        base_url=settings.url,
        timeout=settings.timeout_s,
        max_retries=0,
        http_client=openai.DefaultAsyncHttpxClient(
            # A redirect would take questions, which may be private, to where nobody said.
            follow_redirects=False,
            trust_env=not here,
            # Reading the certificates takes longer than a call, and plain HTTP within a machine shows none.
            verify=not (here and settings.url.startswith("http:")),
            timeout=settings.timeout_s,
        ),
    )
