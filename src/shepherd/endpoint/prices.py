"""What asking costs: counted afterwards from what servers report, estimated beforehand by a rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module

from shepherd.endpoint.replies import Reply
from shepherd.endpoint.request import Request
from shepherd.endpoint.settings import EndpointSettings

_MILLION = 1e6
#: Bytes of UTF-8, that is characters of English, that make a token where nobody counts better.
_BYTES_A_TOKEN = 4
#: What OpenAI's chat format adds to every message.
_TOKENS_A_MESSAGE = 4


@dataclass(frozen=True)
class Spent:
    """What replies have cost.

    Attributes
    ----------
    calls : int
        Replies.
    prompt_tokens, completion_tokens : int
        Sums over the replies whose tokens the server counted.
    usd : float, optional
        None without prices, and where `uncounted` is not 0: then it is not known.
    uncounted : int
        Replies whose tokens the server did not count.
    """

    calls: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None
    uncounted: int = 0


@dataclass(frozen=True)
class Estimate:
    """What asking would cost.

    Attributes
    ----------
    calls : int
        Requests that would be sent; equal ones count once.
    prompt_tokens : int
        Tokens that would be sent, by `rule`.
    completion_tokens : int
        The most that could come back: every reply as long as allowed.
    usd : float, optional
        The most it could cost, failed attempts aside; None without prices.
    rule : str
        How prompt tokens were counted.
    """

    calls: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None
    rule: str


def cost(replies: Iterable[Reply], settings: EndpointSettings) -> Spent:
    """Return what `replies` have cost at the prices of `settings`."""
    replies = list(replies)
    prompt = sum(reply.prompt_tokens or 0 for reply in replies)
    completion = sum(reply.completion_tokens or 0 for reply in replies)
    uncounted = sum(reply.prompt_tokens is None or reply.completion_tokens is None for reply in replies)
    usd = _usd(prompt, completion, settings) if not uncounted else None
    return Spent(len(replies), prompt, completion, usd, uncounted)


def estimate(requests: Iterable[Request], settings: EndpointSettings) -> Estimate:
    """Return what asking `requests` would cost at the prices of `settings`; nothing is sent.

    Prompt tokens are counted by tiktoken, where it is installed and knows the model. Otherwise a token is taken for 4
    bytes of UTF-8 (4 characters of English), rounded up, and 4 tokens are added for every message.

    Parameters
    ----------
    requests : iterable of Request
        What would be asked.
    settings : EndpointSettings
        The model and its prices.
    """
    pending = {request.key: request for request in requests}.values()
    count, rule = _counter(settings.model)
    prompt = sum(_TOKENS_A_MESSAGE + count(message.content) for r in pending for message in r.messages)
    completion = sum(request.max_tokens for request in pending)
    usd = _usd(prompt, completion, settings)
    return Estimate(len(pending), prompt, completion, usd, rule)


def _usd(prompt_tokens: int, completion_tokens: int, settings: EndpointSettings) -> float | None:
    if settings.price_in is None or settings.price_out is None:
        return None
    return (prompt_tokens * settings.price_in + completion_tokens * settings.price_out) / _MILLION


def _counter(model: str) -> tuple[Callable[[str], int], str]:
    try:
        encoding = import_module("tiktoken").encoding_for_model(model)
    # A model it does not know, or a vocabulary it cannot download: the rule serves.
    except Exception:
        return (lambda text: -(-len(text.encode("utf-8", "replace")) // _BYTES_A_TOKEN)), "4 bytes a token"
    return (lambda text: len(encoding.encode(text, disallowed_special=()))), "tiktoken"
