"""Which refusals name a parameter, and which do not."""

from __future__ import annotations

import pytest

from shepherd.endpoint import Message, Request
from shepherd.endpoint.dialect import Dialect

REQUEST = Request((Message("user", "u"),), "judge", 0.5, 64)


@pytest.mark.parametrize(
    ("refusal", "dialect"),
    [
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'",
            Dialect("max_completion_tokens"),
        ),
        (
            "Unsupported value: 'temperature' does not support 0 with this model.",
            Dialect(temperature=False),
        ),
        ("`temperature` is deprecated for this model.", Dialect(temperature=False)),
        # These are the user's own mistakes, and are left for the user to see.
        ("max_tokens is too large: 5000000", Dialect()),
        ("temperature: must be at most 1", Dialect()),
        ("This model's maximum context length is 4096 tokens", Dialect()),
        ("", Dialect()),
    ],
)
def test_what_is_learnt_from_a_refusal(refusal, dialect) -> None:
    assert Dialect().after(refusal) == dialect


def test_two_refusals_add_up_and_are_said_once(caplog) -> None:
    limit, temperature = Dialect("max_completion_tokens"), Dialect(temperature=False)
    both = Dialect("max_completion_tokens", False)
    assert limit.joined(temperature) == both
    assert temperature.joined(limit) == both
    assert len(caplog.records) == 2
    assert both.joined(limit).joined(temperature) == both
    assert len(caplog.records) == 2


def test_bodies() -> None:
    messages = [{"role": "user", "content": "u"}]
    assert Dialect().body(REQUEST) == {
        "model": "judge",
        "messages": messages,
        "max_tokens": 64,
        "temperature": 0.5,
    }
    assert Dialect("max_completion_tokens", False).body(REQUEST) == {
        "model": "judge",
        "messages": messages,
        "max_completion_tokens": 64,
    }


def test_half_a_character_can_be_sent() -> None:
    body = Dialect().body(Request((Message("user", "a\ud800b"),), "judge", 0.0, 1))
    assert body["messages"][0]["content"] == "a?b"
