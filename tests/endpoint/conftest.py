"""Settings without patience, and requests by the dozen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fake_server import FakeServer
from shepherd.endpoint import EndpointSettings, Message, ReplyStore, Request


@pytest.fixture
def settings_for(judge_server: FakeServer) -> Callable[..., EndpointSettings]:
    """Settings that ask the judge server, and try again at once; any of them can be changed."""

    def made(**changes: object) -> EndpointSettings:
        values = {"model": "judge", "base_url": judge_server.url, "backoff_s": 0.005, "attempts": 3}
        return EndpointSettings.model_validate(values | changes)

    return made


@pytest.fixture
def store(tmp_path: Path) -> ReplyStore:
    return ReplyStore(tmp_path / "replies.jsonl")


@pytest.fixture
def questions() -> Callable[..., list[Request]]:
    """So many requests, whose last messages are ``question 0``, ``question 1``, …"""

    def made(count: int) -> list[Request]:
        system = Message("system", "You rate answers.")
        return [Request((system, Message("user", f"question {n}")), "judge", 0.0, 64) for n in range(count)]

    return made
