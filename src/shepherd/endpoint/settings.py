"""Which model is asked, where, how patiently, and with whose key; the key itself is never kept anywhere."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from shepherd.addresses import is_loopback
from shepherd.errors import ShepherdError
from shepherd.settings import Settings

OPENAI = "https://api.openai.com/v1"
#: What a server that wants no key is sent in its place, since the client insists on one.
NO_KEY = "none"
_HOST = re.compile(r"[\w.:-]+")


class EndpointSettings(Settings):
    """A model behind a server that speaks OpenAI's chat completions.

    Attributes
    ----------
    model : str
        The model's name at the server.
    base_url : str, optional
        Where the server is, e.g. ``http://127.0.0.1:8000/v1``; None for what the environment variable
        OPENAI_BASE_URL says, or else OpenAI itself.
    key_variable : str
        The environment variable that holds the key. A server other than OpenAI's may do without one.
    temperature : float
        From 0 to 2; at 0 a server may still vary.
    max_tokens : int
        Most tokens of a reply.
    concurrency : int
        Requests under way at once.
    timeout_s : float
        Seconds to wait for one reply, all of it.
    attempts : int
        Tries of one request (on 429, 5xx, timeouts and broken connections) before it is given up.
    backoff_s : float
        Seconds before the second try; they double with every further one, up to a minute, and a random half of
        them is added. A server that says when to come back (Retry-After) is heeded.
    price_in, price_out : float, optional
        USD per million prompt and completion tokens. Prices change, so none are shipped.
    """

    model: str = Field(min_length=1, examples=["gpt-4o"])
    base_url: str | None = None
    key_variable: str = Field("OPENAI_API_KEY", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    temperature: float = Field(0.0, ge=0, le=2)
    max_tokens: int = Field(1024, ge=1)
    concurrency: int = Field(16, ge=1, le=1024)
    timeout_s: float = Field(60, gt=0)
    attempts: int = Field(6, ge=1)
    backoff_s: float = Field(2, ge=0)
    price_in: float | None = Field(None, ge=0)
    price_out: float | None = Field(None, ge=0)

    @field_validator("base_url")
    @classmethod
    def _is_a_plain_address(cls, url: str | None) -> str | None:
        return None if url is None else plain_address(url)

    @model_validator(mode="after")
    def _has_both_prices(self) -> EndpointSettings:
        if (self.price_in is None) != (self.price_out is None):
            raise ValueError("give both price_in and price_out, or neither")
        return self

    @property
    def url(self) -> str:
        """The server's address, without a slash at its end.

        Raises
        ------
        ShepherdError
            If OPENAI_BASE_URL is asked and holds none.
        """
        if self.base_url is not None:
            return self.base_url
        try:
            return plain_address(os.environ.get("OPENAI_BASE_URL") or OPENAI)
        except ValueError as error:
            raise ShepherdError(f"The environment variable OPENAI_BASE_URL: {error}.") from None


def plain_address(url: str) -> str:
    """Return an http(s) address without a slash at its end.

    Raises
    ------
    ValueError
        If it is none, or carries a password or a query: addresses are written down, secrets are not.
    """
    url = url.strip().rstrip("/")
    parts = urlsplit(url)
    if "@" in url or parts.query or parts.fragment:
        raise ValueError("the address may hold no user, password or query; put the key into the environment")
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(parts.hostname or "") or parts.port == 0:
        raise ValueError(f"'{url}' is no address of a server, such as http://127.0.0.1:8000/v1")
    return url


def is_here(url: str) -> bool:
    """Return whether an address is this machine's own, which no proxy leads to."""
    return is_loopback(urlsplit(url).hostname or "")


def read_key(settings: EndpointSettings) -> str:
    """Return the key from the environment, or `NO_KEY` where the server may do without.

    Raises
    ------
    ShepherdError
        If OpenAI itself is asked without a key, or the key could not be sent.
    """
    variable = settings.key_variable
    key = os.environ.get(variable, "").strip()
    if not key and urlsplit(settings.url).hostname == urlsplit(OPENAI).hostname:
        raise ShepherdError(
            f"{settings.url} wants a key: put it into the environment variable {variable}, "
            "or give the base_url of a server that needs none."
        )
    if not all("!" <= character <= "~" for character in key):
        raise ShepherdError(f"What the environment variable {variable} holds is no key; copy it again.")
    return key or NO_KEY
