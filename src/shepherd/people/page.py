"""The page to rate in: a server of this machine's own, for one rater, that nothing else can reach or read.

It listens on 127.0.0.1. Its address holds a token nobody else knows, so no other user of the machine and no web site
open in the same browser can read items or post ratings. A request under another host's name (a site that points its
own name at this machine) is refused, as is one that another site's page sends. What it shows is text, never markup.
"""

from __future__ import annotations

import errno
import json
import secrets
import sys
from dataclasses import asdict
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NoReturn

from shepherd.errors import ShepherdError
from shepherd.people.desk import Desk, Refused

HOST = "127.0.0.1"
_OURS = {HOST, "localhost"}
_MOST_BYTES = 2**16  # of a rating
_PATIENCE_S = 30.0  # a connection that says nothing is closed
_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class RatingServer(ThreadingHTTPServer):
    """Serves one desk.

    Parameters
    ----------
    desk : Desk
        What is rated, and where ratings go.
    port : int
        The port; 0 for any that is free.

    Raises
    ------
    ShepherdError
        If the port cannot be had.
    """

    daemon_threads = True
    allow_reuse_address = sys.platform != "win32"  # there it would let another program take the same port

    def __init__(self, desk: Desk, port: int = 0) -> None:
        self.desk = desk
        self.token = secrets.token_urlsafe(24)
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            reason = "it is in use" if taken else f"{error.strerror or error}"
            raise ShepherdError(
                f"Port {port} cannot be had: {reason}; choose another --port, or none."
            ) from error

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    @cached_property
    def template(self) -> Any:
        """The page."""
        from jinja2 import Environment, PackageLoader, StrictUndefined

        loader = PackageLoader("shepherd", "people")
        return Environment(loader=loader, autoescape=True, undefined=StrictUndefined).get_template(
            "page.html.j2"
        )

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let be a browser that went away; anything else is a fault and is shown."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class _Stopped(Exception):
    """The request was answered with a refusal."""


class _Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: RatingServer
    server_version, sys_version = "shepherd", ""
    timeout = _PATIENCE_S

    def do_GET(self) -> None:
        """Answer with the page, or the items."""
        try:
            place = self._place()
            if place == "":
                self._page()
            elif place == "items":
                self._send(HTTPStatus.OK, "application/json", _items(self.server.desk))
            else:
                self._refuse(HTTPStatus.NOT_FOUND, "There is nothing here.")
        except _Stopped:
            return

    def do_POST(self) -> None:
        """Write a rating."""
        try:
            body = self._body()  # before anything is refused, since closing on unread bytes loses the refusal
            if self._place() != "ratings":
                self._refuse(HTTPStatus.NOT_FOUND, "There is nothing here.")
            self._write(body)
        except _Stopped:
            return

    def _place(self) -> str:
        """Return what is asked for, below the token."""
        host = self.headers.get("Host", "")
        if host.partition(":")[0] not in _OURS:
            self._refuse(HTTPStatus.FORBIDDEN, "This page belongs to 127.0.0.1.")
        if self.headers.get("Origin", f"http://{host}") != f"http://{host}":
            self._refuse(HTTPStatus.FORBIDDEN, "Another site's page asked for this.")
        token, _, place = self.path.partition("?")[0].removeprefix("/").partition("/")
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            self._refuse(HTTPStatus.NOT_FOUND, "There is nothing here; use the address that was printed.")
        return place

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "A rating says its length.")
        if int(length) > _MOST_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "That is too long for a rating.")
        body = self.rfile.read(int(length))
        if self.headers.get_content_type() != "application/json":
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "A rating is JSON.")
        return body

    def _write(self, body: bytes) -> None:
        try:
            self.server.desk.write(json.loads(body))
        except (ValueError, RecursionError) as error:
            reason = str(error) if isinstance(error, Refused) else "That is no JSON."
            self._refuse(HTTPStatus.BAD_REQUEST, reason)
        except ShepherdError as error:
            self._refuse(HTTPStatus.INSUFFICIENT_STORAGE, str(error))
        self._send(HTTPStatus.NO_CONTENT, "text/plain", b"")

    def _page(self) -> None:
        nonce = secrets.token_urlsafe(16)
        page = self.server.template.render(nonce=nonce).encode()
        self._send(HTTPStatus.OK, "text/html", page, _POLICY.format(nonce=nonce))

    def _refuse(self, status: HTTPStatus, sentence: str) -> NoReturn:
        self._send(status, "text/plain", sentence.encode())
        raise _Stopped

    def _send(
        self, status: HTTPStatus, kind: str, content: bytes, policy: str = "default-src 'none'"
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        if status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", policy)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal belongs to the command."""


def _items(desk: Desk) -> bytes:
    return json.dumps([asdict(row) for row in desk.shown]).encode()
