"""Money, by hand."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from shepherd.endpoint import EndpointSettings, Message, Reply, Request, Spent, cost, estimate

FREE = EndpointSettings(model="judge")
PRICED = EndpointSettings(model="judge", price_in=2.5, price_out=10)


def reply(name: str, prompt: int | None, completion: int | None) -> Reply:
    return Reply(name, "8 7", prompt, completion, "stop", "judge")


def request(*texts: str, turn: int = 0) -> Request:
    return Request(tuple(Message("user", text) for text in texts), "judge", 0.0, 100, turn)


@pytest.fixture(autouse=True)
def no_tiktoken(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tiktoken", None)


def test_what_replies_cost() -> None:
    replies = [reply("a", 1000, 200), reply("b", 3000, 0)]
    assert cost(replies, FREE) == Spent(2, 4000, 200, None)
    # 4,000 x 2.5 / 10^6 + 200 x 10 / 10^6
    assert cost(replies, PRICED) == Spent(2, 4000, 200, pytest.approx(0.012))
    assert cost([], PRICED) == Spent(0, 0, 0, 0.0)


def test_what_was_not_counted_has_no_price() -> None:
    replies = iter([reply("a", 1000, 200), reply("b", None, 7), reply("c", None, None)])
    assert cost(replies, PRICED) == Spent(3, 1000, 207, None, uncounted=2)


def test_an_estimate_by_the_rule() -> None:
    # 4 a message; 5 bytes are 2 tokens, 8 bytes are 2, none are 0; the two characters are 6 bytes.
    requests = [request("12345", "12345678"), request(""), request("\u6c34\u706b")]
    found = estimate(requests, PRICED)
    assert found.calls == 3
    assert found.prompt_tokens == (4 + 2) + (4 + 2) + 4 + (4 + 2)
    assert found.completion_tokens == 300
    assert found.usd == pytest.approx((22 * 2.5 + 300 * 10) / 1e6)
    assert found.rule == "4 bytes a token"
    assert estimate(requests, FREE).usd is None


def test_what_is_equal_costs_once() -> None:
    found = estimate([request("a"), request("b"), request("b"), request("b", turn=1)], PRICED)
    assert (found.calls, found.completion_tokens) == (3, 300)


def test_tiktoken_counts_where_it_knows_the_model(monkeypatch) -> None:
    def encoding_for_model(model: str) -> object:
        if model != "judge":
            raise KeyError(model)
        return SimpleNamespace(encode=lambda text, disallowed_special: text.split())

    monkeypatch.setitem(sys.modules, "tiktoken", SimpleNamespace(encoding_for_model=encoding_for_model))
    found = estimate([request("three words here")], FREE)
    assert (found.prompt_tokens, found.rule) == (7, "tiktoken")
    assert estimate([request("12345")], EndpointSettings(model="other")).rule == "4 bytes a token"
