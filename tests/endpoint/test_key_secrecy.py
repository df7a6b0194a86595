"""The key goes to the server and nowhere else: no file, no log, no exception, no traceback."""

from __future__ import annotations

import logging
import traceback

import pytest

from fake_server import Canned, cut_off, error, hanging, raw
from shepherd.endpoint import ask, check
from shepherd.errors import ShepherdError

KEY = "sk-distinctive-0123456789abcdef"


@pytest.fixture(autouse=True)
def key(judge_server, monkeypatch, caplog) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    # The client says all it does, when told to; only the trace of the bytes beneath it is left out.
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, "httpcore2")


def test_it_is_sent(judge_server, settings_for, store, questions, monkeypatch) -> None:
    # A key for something else is not.
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin")
    judge_server.key = KEY
    ask(settings_for(), questions(3), store)
    assert {headers["authorization"] for headers in judge_server.headers} == {f"Bearer {KEY}"}
    assert "sk-admin" not in str(judge_server.headers)


@pytest.mark.parametrize(
    "response",
    [
        error(401, f"Incorrect API key provided: Bearer {KEY}"),
        error(400, f"You sent {KEY * 20}"),
        error(500, f"Authorization: Bearer {KEY}"),
        error(429, KEY, {"Retry-After": "0.01", "X-Echo": KEY}),
        error(404, code=KEY),
        raw({"detail": {"headers": {"authorization": f"Bearer {KEY}"}}}, 422),
        raw({"error": KEY}),
        Canned(f"Bearer {KEY}".encode(), 502, "text/plain"),
        Canned(f"not JSON {KEY}".encode()),
        Canned(b"", 302, headers={"Location": f"https://elsewhere.example/?{KEY}"}),
        Canned(b"{}", 200, headers={"X-Echo": KEY}),
        cut_off(),
        hanging(),
    ],
)
def test_a_server_that_repeats_it(
    judge_server, settings_for, store, questions, response, tmp_path, caplog, capfd
) -> None:
    judge_server.answer = lambda body: response
    judge_server.models = response
    with pytest.raises(ShepherdError) as caught:
        ask(settings_for(timeout_s=0.3, attempts=2), questions(2), store)
    said = ["".join(traceback.format_exception(caught.value))]
    try:
        check(settings_for(timeout_s=0.3))
    except ShepherdError as refused:
        said.append("".join(traceback.format_exception(refused)))
    written = [file.read_text() for file in tmp_path.rglob("*") if file.is_file()]
    for text in [*said, *written, caplog.text, *capfd.readouterr()]:
        assert KEY not in text


def test_a_reply_that_repeats_it(judge_server, settings_for, store, questions, tmp_path) -> None:
    judge_server.answer = lambda body: raw(
        {
            "model": KEY,
            "choices": [{"message": {"content": f"Your key is {KEY}!"}, "finish_reason": KEY}],
        }
    )
    (reply,) = ask(settings_for(), questions(1), store).values()
    assert reply.text == "Your key is [key]!"
    assert KEY not in store.path.read_text() + repr(reply)


def test_a_placeholder_is_no_secret(judge_server, settings_for, store, questions, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    judge_server.answer = lambda body: "EMPTY words"
    (reply,) = ask(settings_for(), questions(1), store).values()
    assert reply.text == "EMPTY words"
