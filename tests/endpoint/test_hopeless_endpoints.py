"""Endpoints that are never going to answer: one clear sentence, soon, and not a thousand requests."""

from __future__ import annotations

import re
import socket
import time

import pytest

from fake_server import Canned, busy, error, hanging, page, question, raw
from shepherd.endpoint import ask, check
from shepherd.endpoint.circuit import STOP_AFTER, Circuit
from shepherd.endpoint.failures import Failure
from shepherd.errors import ShepherdError

MANY = 200


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.mark.parametrize(
    ("response", "sentence"),
    [
        (error(401, "Invalid token"), r"wants a key \(401: Invalid token\).*OPENAI_API_KEY holds none"),
        (error(403, "not yours"), r"wants a key \(403: not yours\)"),
        (error(404, "The model does not exist"), r"has no model 'judge' \(404: The model does not exist\)"),
        (error(400, "unknown", code="model_not_found"), r"has no model 'judge' \(400: unknown\)"),
        (
            error(429, "You exceeded your quota", code="insufficient_quota"),
            r"wants to be paid first \(429: You",
        ),
        (error(402, "Insufficient balance"), r"wants to be paid first \(402"),
        (page(), r"is not an OpenAI-compatible endpoint: it returned HTML"),
        (page(404), r"is not an OpenAI-compatible endpoint: it returned HTML"),
        (raw({"hello": "world"}), r".*it returned JSON without choices"),
        (raw(["hello"]), r".*it returned JSON without choices"),
        (
            Canned(b"", 307, headers={"Location": "https://elsewhere.example/"}),
            r"sends us on to https://elsewhere",
        ),
    ],
)
def test_it_stops_at_once(judge_server, settings_for, store, questions, response, sentence) -> None:
    judge_server.answer = lambda body: response
    with pytest.raises(
        ShepherdError, match=rf"^Cannot ask 'judge': {re.escape(judge_server.url)} {sentence}"
    ):
        ask(settings_for(attempts=6, concurrency=4), questions(MANY), store)
    # The first of everybody, and what was under way when they were counted; none of them twice.
    assert len(judge_server.calls) <= 4 + 4
    assert set(judge_server.asked().values()) == {1}
    assert not store.path.exists()


def test_a_wrong_key(judge_server, settings_for, store, questions, monkeypatch) -> None:
    judge_server.key = "the right key"
    monkeypatch.setenv("MY_KEY", "the-wrong-key")
    with pytest.raises(ShepherdError, match=r"refuses the key \(401: .*environment variable MY_KEY\."):
        ask(settings_for(key_variable="MY_KEY"), questions(3), store)


def test_nothing_listens(settings_for, store, questions) -> None:
    url = f"http://127.0.0.1:{unused_port()}/v1"
    with pytest.raises(
        ShepherdError, match=rf"nothing answers at {url} \(connection refused\); start the server"
    ):
        ask(settings_for(base_url=url), questions(MANY), store)


def test_a_name_that_nobody_has(settings_for, store, questions) -> None:
    with pytest.raises(ShepherdError, match=r"nothing answers at http://nobody\.invalid/v1 \("):
        ask(settings_for(base_url="http://nobody.invalid/v1"), questions(MANY), store)


def test_it_hangs(judge_server, settings_for, store, questions) -> None:
    judge_server.answer = lambda body: hanging()
    began = time.monotonic()
    with pytest.raises(ShepherdError, match=r"no answer from .* within 0\.4 s; raise --timeout"):
        ask(settings_for(timeout_s=0.4), questions(MANY), store)
    assert time.monotonic() - began < 10
    assert len(judge_server.calls) <= 16 + STOP_AFTER


def test_it_is_down_for_good(judge_server, settings_for, store, questions) -> None:
    judge_server.answer = lambda body: error(503, "overloaded")
    with pytest.raises(ShepherdError, match=r"^Cannot ask 'judge': .* is in trouble \(503: overloaded\)"):
        ask(settings_for(attempts=2, concurrency=4), questions(MANY), store)
    assert len(judge_server.calls) <= 2 * (STOP_AFTER + 4)


def test_it_goes_away_half_way(judge_server, settings_for, store, questions) -> None:
    def answer(body: dict) -> object:
        return "8 7" if int(question(body).split()[1]) < 50 else error(401, "revoked")

    judge_server.answer = answer
    with pytest.raises(
        ShepherdError, match=r"401: revoked.*What was answered is kept in .*give the command again"
    ):
        ask(settings_for(), questions(MANY), store)
    assert len(store.replies) == 50
    assert len(judge_server.calls) < 50 + STOP_AFTER + 2 * 16


def test_it_wants_to_be_left_alone_for_an_hour(judge_server, settings_for, store, questions) -> None:
    judge_server.answer = lambda body: busy("3600")
    with pytest.raises(ShepherdError, match=r"wants to be left alone for 3600 s \(429"):
        ask(settings_for(), questions(MANY), store)


def test_a_proxy_is_not_asked_for_this_machine(
    judge_server, settings_for, store, questions, monkeypatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{unused_port()}")
    assert len(ask(settings_for(), questions(2), store)) == 2


def test_openai_itself_needs_a_key(settings_for, store, questions, monkeypatch) -> None:
    for base_url in (None, "https://api.openai.com/v1"):
        with pytest.raises(ShepherdError, match="put it into the environment variable OPENAI_API_KEY"):
            ask(settings_for(base_url=base_url), questions(1), store)
        with pytest.raises(ShepherdError, match="put it into the environment variable OPENAI_API_KEY"):
            check(settings_for(base_url=base_url))


def test_the_address_may_come_from_the_environment(
    judge_server, settings_for, store, questions, monkeypatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", judge_server.url + "/")
    assert len(ask(settings_for(base_url=None), questions(2), store)) == 2
    monkeypatch.setenv("OPENAI_BASE_URL", "localhost:8000")
    with pytest.raises(ShepherdError, match="OPENAI_BASE_URL: 'localhost:8000' is no address"):
        ask(settings_for(base_url=None), questions(3), store)


def test_without_the_package(settings_for, store, questions, monkeypatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ShepherdError, match=r"pip install 'fedshepherd\[judge\]'"):
        ask(settings_for(), questions(1), store)


@pytest.mark.parametrize("fine", [raw({"data": []}), error(404), error(403), page(404), error(503), busy()])
def test_a_check_passes(judge_server, settings_for, fine) -> None:
    judge_server.models = fine
    check(settings_for())
    assert judge_server.calls == []


@pytest.mark.parametrize(
    ("response", "sentence"),
    [(error(401, "who?"), "wants a key"), (page(), "it returned HTML"), (hanging(), r"within 0\.3 s")],
)
def test_a_check_says_why_not(judge_server, settings_for, response, sentence) -> None:
    judge_server.models = response
    with pytest.raises(ShepherdError, match=sentence):
        check(settings_for(timeout_s=0.3))


def test_a_check_finds_nobody(settings_for) -> None:
    with pytest.raises(ShepherdError, match="nothing answers at"):
        check(settings_for(base_url=f"http://127.0.0.1:{unused_port()}/v1"))


REFUSED = Failure("refused", again=True, hopeless=True)
BUSY = Failure("busy", again=True)
OWN = Failure("too long", status=400)


def test_before_the_first_answer_hopeless_attempts_stop_it() -> None:
    circuit = Circuit(3)
    assert [circuit.failed(REFUSED, False) for _ in range(3)] == [False, False, True]


def test_one_request_alone_is_tried_twice() -> None:
    circuit = Circuit(1)
    assert [circuit.failed(REFUSED, False) for _ in range(2)] == [False, True]


def test_afterwards_a_server_may_be_started_anew() -> None:
    circuit = Circuit(3)
    circuit.answered()
    assert not any(circuit.failed(REFUSED, False) for _ in range(100))
    assert [circuit.failed(REFUSED, True) for _ in range(STOP_AFTER)][-1]


def test_an_answer_begins_the_count_anew() -> None:
    circuit = Circuit(16)
    for _ in range(20):
        assert not any(circuit.failed(BUSY, True) for _ in range(STOP_AFTER - 1))
        circuit.answered()


def test_requests_at_fault_themselves_say_nothing_of_others() -> None:
    circuit = Circuit(16)
    assert not any(circuit.failed(OWN, True) for _ in range(1000))
