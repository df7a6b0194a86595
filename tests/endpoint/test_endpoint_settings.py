"""Where a model is and whose key it gets; secrets in the wrong place are refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from shepherd.endpoint import EndpointSettings
from shepherd.endpoint.settings import NO_KEY, is_here, read_key
from shepherd.errors import ShepherdError


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def test_the_settings_win_over_the_environment_and_that_over_openai(monkeypatch) -> None:
    assert EndpointSettings(model="m").url == "https://api.openai.com/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://one:8000/v1/")
    assert EndpointSettings(model="m").url == "http://one:8000/v1"
    assert EndpointSettings(model="m", base_url=" http://two/v1/ ").url == "http://two/v1"


def test_a_server_elsewhere_may_do_without_a_key(monkeypatch) -> None:
    settings = EndpointSettings(model="m", base_url="http://127.0.0.1:8000/v1", key_variable="MINE")
    assert read_key(settings) == NO_KEY
    monkeypatch.setenv("MINE", " sk-1234567890 \n")
    assert read_key(settings) == "sk-1234567890"


@pytest.mark.parametrize("held", ["two words", "sk-\u00e4", "line\nbreak"])
def test_what_cannot_be_a_key_is_not_repeated(monkeypatch, held) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", held)
    with pytest.raises(ShepherdError, match="OPENAI_API_KEY holds is no key") as caught:
        read_key(EndpointSettings(model="m"))
    assert held not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("localhost:8000/v1", "no address of a server"),
        ("ftp://host/v1", "no address of a server"),
        ("", "no address of a server"),
        ("http://", "no address of a server"),
        ("http://ho st/v1", "no address of a server"),
        ("http://host:99999/v1", "Port out of range"),
        ("http://host:eight/v1", "Port could not be cast"),
        ("http://[::1/v1", "Invalid IPv6 URL"),
        ("http://user:password@host/v1", "may hold no user, password or query"),
        ("user:password@host/v1", "may hold no user, password or query"),
        ("https://host/v1?key=secret", "may hold no user, password or query"),
    ],
)
def test_what_is_no_address(url, why) -> None:
    with pytest.raises(ValidationError, match=why):
        EndpointSettings(model="m", base_url=url)


@pytest.mark.parametrize(
    "change",
    [
        {"model": ""},
        {"concurrency": 0},
        {"timeout_s": 0},
        {"attempts": 0},
        {"temperature": -1},
        {"temperature": float("nan")},
        {"max_tokens": 0},
        {"price_in": -1.0, "price_out": 1.0},
        {"price_in": 1.0},
        {"key_variable": "sk-1234567890"},
        {"api_key": "sk-1234567890"},
    ],
)
def test_what_is_out_of_range(change) -> None:
    with pytest.raises(ValidationError):
        EndpointSettings.model_validate({"model": "m"} | change)


def test_this_machine() -> None:
    here = ["http://localhost:1/v1", "http://127.0.0.1/v1", "http://127.1.2.3:8/v1", "http://[::1]:8000/v1"]
    there = [
        "http://host/v1",
        "http://10.0.0.1/v1",
        "https://api.openai.com/v1",
        "http://localhost.example/v1",
    ]
    assert all(map(is_here, here))
    assert not any(map(is_here, there))
