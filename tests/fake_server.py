"""A server that speaks OpenAI's chat completions from a script: known replies, and everything that can go wrong.

    with FakeServer(lambda body: "8 7\\nThe first is clearer.") as server:
        EndpointSettings(model="judge", base_url=server.url)

`answer` is called with every request's body and returns the reply's text, or a `Canned` response. Responses in
`script` come first, one a request, in the order the requests arrive. It is a real HTTP server on this machine, in
threads of its own; `calls` holds what it was asked.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PAGE = "<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body>Sign in</body></html>"


@dataclass(frozen=True)
class Canned:
    """A response.

    `delay_s` passes before it, `hang` sends nothing at all, `cut` closes the connection behind so many bytes of it.
    """

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    hang: bool = False
    cut: int | None = None


def completion(text: str | None, delay_s: float = 0.0, usage: bool = True, **choice: Any) -> Canned:
    """A reply of this text; 10 prompt tokens, and a completion token for every word."""
    value: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "judge-1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
                **choice,
            }
        ],
    }
    if usage:
        words = len((text or "").split())
        value["usage"] = {"prompt_tokens": 10, "completion_tokens": words, "total_tokens": 10 + words}
    return Canned(json.dumps(value).encode(), delay_s=delay_s)


def error(status: int, message: str = "", headers: dict[str, str] | None = None, **more: Any) -> Canned:
    """A refusal in OpenAI's shape; `more` is, say, its code and param."""
    body = {"error": {"message": message, "type": "error", **more}}
    return Canned(json.dumps(body).encode(), status, headers=headers or {})


def busy(retry_after: str = "0.2") -> Canned:
    """429, and when to come back."""
    return error(429, "rate limit reached", {"Retry-After": retry_after})


def page(status: int = 200) -> Canned:
    """A page for people."""
    return Canned(PAGE.encode(), status, "text/html")


def hanging() -> Canned:
    """Nothing, until the server is closed."""
    return Canned(b"", hang=True)


def truncated() -> Canned:
    """Half a reply that claims to be whole."""
    whole = completion("8 7")
    return Canned(whole.body[: len(whole.body) // 2])


def cut_off() -> Canned:
    """A reply whose connection breaks half-way."""
    whole = completion("8 7")
    return Canned(whole.body, cut=len(whole.body) // 2)


def no_choices() -> Canned:
    """A reply without choices."""
    return Canned(b'{"id": "1", "object": "chat.completion", "model": "judge-1", "choices": []}')


def raw(value: Any, status: int = 200) -> Canned:
    """Any JSON."""
    return Canned(json.dumps(value).encode(), status)


def question(body: dict[str, Any]) -> str:
    """The last thing said in a request's body."""
    return body["messages"][-1]["content"]


class FakeServer:
    """The server; see the top of this file.

    Attributes
    ----------
    calls : list of dict
        The body of every request for a completion, in the order they arrived.
    headers : list of dict
        Their headers.
    answered : list of dict
        The bodies of those that were sent all of a response of status 200: what a real server would charge for.
    most_at_once : int
        The most requests that were under way at the same time.
    """

    def __init__(
        self,
        answer: Callable[[dict[str, Any]], str | Canned | None] = lambda body: "8 7\nThe first is clearer.",
        script: Iterable[str | Canned] = (),
        key: str | None = None,
        delay_s: float = 0.0,
    ) -> None:
        self.answer, self.script, self.key, self.delay_s = answer, deque(script), key, delay_s
        self.models: Canned = raw({"object": "list", "data": [{"id": "judge", "object": "model"}]})
        self.calls: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answered: list[dict[str, Any]] = []
        self.most_at_once = 0
        self._under_way = 0
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def __enter__(self) -> FakeServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening; what hangs is let go."""
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    def asked(self) -> Counter[str]:
        """How many times each last message was asked."""
        return Counter(map(question, self.calls))

    def respond(self, body: dict[str, Any], headers: dict[str, str]) -> Canned:
        """Choose the response to a request, and note the request."""
        with self._lock:
            self.calls.append(body)
            self.headers.append(headers)
            scripted = self.script.popleft() if self.script else None
        if self.key is not None and headers.get("authorization") != f"Bearer {self.key}":
            return error(401, f"Incorrect API key provided: {headers.get('authorization')}")
        said = self.answer(body) if scripted is None else scripted
        return said if isinstance(said, Canned) else completion(said)

    def count(self, change: int) -> None:
        """Count requests under way."""
        with self._lock:
            self._under_way += change
            self.most_at_once = max(self.most_at_once, self._under_way)

    def wait(self, canned: Canned) -> bool:
        """Let the time of a response pass; return whether it is to be sent at all."""
        if canned.hang:
            self._closed.wait()
            return False
        time.sleep(self.delay_s + canned.delay_s)
        return True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that go away in the middle are part of the tests."""


def _handler(fake: FakeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            fake.count(+1)
            try:
                canned = fake.respond(body, {name.lower(): value for name, value in self.headers.items()})
                if not fake.wait(canned):
                    self.close_connection = True
                    return
            finally:
                fake.count(-1)
            self.send(canned)
            if canned.status == 200 and canned.cut is None:
                fake.answered.append(body)

        def do_GET(self) -> None:
            if fake.wait(fake.models):
                self.send(fake.models)

        def send(self, canned: Canned) -> None:
            self.send_response(canned.status)
            self.send_header("Content-Type", canned.content_type)
            self.send_header("Content-Length", str(len(canned.body)))
            for name, value in canned.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(canned.body[: canned.cut])
            self.close_connection = self.close_connection or canned.cut is not None

        def log_message(self, *_: object) -> None:
            pass

    return Handler
