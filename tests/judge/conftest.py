"""A judge whose ratings are known."""

from __future__ import annotations

import pytest
from small_study import by_worth

from fake_server import FakeServer


@pytest.fixture
def server(judge_server: FakeServer) -> FakeServer:
    """A judge that scores answers by what they say they are worth."""
    judge_server.answer = by_worth
    return judge_server
