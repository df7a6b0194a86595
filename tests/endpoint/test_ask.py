"""Asking a real server on this machine: what is asked, how often, how many at once, and what is kept."""

from __future__ import annotations

import asyncio
import json
import logging
import time

import pytest

from fake_server import (
    FakeServer,
    busy,
    completion,
    cut_off,
    error,
    hanging,
    no_choices,
    question,
    raw,
    truncated,
)
from shepherd.endpoint import Message, Reply, ReplyStore, Request, ask
from shepherd.errors import ShepherdError


@pytest.fixture(autouse=True)
def echo(judge_server: FakeServer) -> None:
    judge_server.answer = lambda body: f"answer to {question(body)}"


def test_every_request_gets_its_own_reply_in_the_requests_order(settings_for, store, questions) -> None:
    requests = questions(40)
    replies = ask(settings_for(), requests, store)
    assert list(replies) == [request.key for request in requests]
    assert [reply.text for reply in replies.values()] == [f"answer to question {n}" for n in range(40)]
    first = replies[requests[0].key]
    assert first == Reply(requests[0].key, "answer to question 0", 10, 4, "stop", "judge-1")


def test_what_is_sent_is_the_request_and_no_more(judge_server, settings_for, store, questions) -> None:
    ask(settings_for(), questions(1), store)
    assert judge_server.calls == [
        {
            "model": "judge",
            "messages": [
                {"role": "system", "content": "You rate answers."},
                {"role": "user", "content": "question 0"},
            ],
            "max_tokens": 64,
            "temperature": 0.0,
        }
    ]


def test_what_is_stored_is_not_asked_again(judge_server, settings_for, store, questions) -> None:
    requests = questions(10)
    ask(settings_for(), requests[:6], store)
    replies = ask(settings_for(), requests + requests, ReplyStore(store.path))
    assert len(replies) == 10
    assert judge_server.asked() == {f"question {n}": 1 for n in range(10)}


def test_nothing_to_ask_needs_neither_server_nor_key(judge_server, settings_for, store, questions) -> None:
    replies = ask(settings_for(), questions(3), store)
    judge_server.close()
    assert ask(settings_for(base_url="https://api.openai.com/v1"), questions(3), store) == replies


def test_a_turn_tells_equal_requests_apart(judge_server, settings_for, store) -> None:
    again = [Request((Message("user", "the same"),), "judge", 0.0, 64, turn) for turn in range(3)]
    assert len(ask(settings_for(), again, store)) == 3
    assert judge_server.asked() == {"the same": 3}
    assert "turn" not in judge_server.calls[0]


def test_as_many_at_once_as_allowed_and_no_more(judge_server, settings_for, store, questions) -> None:
    judge_server.delay_s = 0.03
    ask(settings_for(concurrency=5), questions(25), store)
    assert judge_server.most_at_once == 5


def test_each_reply_is_told_once_it_is_stored(settings_for, store, questions) -> None:
    told: list[str] = []

    def tell(reply: Reply) -> None:
        assert reply.key in ReplyStore(store.path).replies
        told.append(reply.key)

    ask(settings_for(), questions(3)[:1], store)
    replies = ask(settings_for(), questions(8), store, tell)
    assert sorted(told) == sorted(list(replies)[1:])


def test_the_file_says_what_was_asked(settings_for, store, questions) -> None:
    ask(settings_for(), questions(1), store)
    (line,) = store.path.read_text().splitlines()
    asked = json.loads(line)["asked"]
    assert asked["messages"][1] == {"role": "user", "content": "question 0"}
    assert (asked["temperature"], asked["max_tokens"], asked["turn"]) == (0.0, 64, 0)


@pytest.mark.parametrize(
    "trouble",
    [busy("0.01"), error(500, "oops"), error(503, "overloaded"), truncated(), cut_off(), error(408)],
)
def test_passing_trouble_is_tried_again(judge_server, settings_for, store, questions, trouble) -> None:
    judge_server.script.extend([trouble, trouble])
    replies = ask(settings_for(), questions(4), store)
    assert len(replies) == 4
    assert len(judge_server.calls) == 6
    assert len(store.path.read_text().splitlines()) == 4


def test_waiting_is_said_once_and_without_what_was_asked(
    judge_server, settings_for, store, questions, caplog
) -> None:
    judge_server.script.extend([error(429, "too many like 'question 1'", {"Retry-After": "0.01"})] * 2)
    ask(settings_for(concurrency=1), questions(2), store)
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(
        f"{judge_server.url}: status 429, trying again in 0 s; every request is tried up to 3 "
    )
    assert "question 1" not in said


def test_a_reply_that_hangs_is_tried_again(judge_server, settings_for, store, questions) -> None:
    ask(settings_for(), questions(1), store)
    judge_server.script.append(hanging())
    replies = ask(settings_for(timeout_s=1), questions(4), store)
    assert len(replies) == 4
    assert len(judge_server.calls) == 5


def test_nobody_asks_before_the_server_wants_to_be_asked(
    judge_server, settings_for, store, questions
) -> None:
    came: list[float] = []

    def answer(body: dict) -> object:
        came.append(time.monotonic())
        return busy("0.4") if len(came) == 1 else "8 7"

    judge_server.answer = answer
    ask(settings_for(concurrency=1, backoff_s=0), questions(3), store)
    assert came[1] - came[0] >= 0.4


def test_one_that_cannot_be_answered_does_not_keep_the_others_from_it(
    judge_server, settings_for, store, questions
) -> None:
    def answer(body: dict) -> object:
        bad = question(body) in ("question 3", "question 7")
        return error(400, "this prompt is too long") if bad else "8 7"

    judge_server.answer = answer
    with pytest.raises(
        ShepherdError, match=r"^2 of 20 requests .*400: this prompt is too long.*replies.jsonl"
    ):
        ask(settings_for(), questions(20), store)
    assert len(ReplyStore(store.path).replies) == 18
    # What is its own fault is not asked twice, and giving the command again goes on from there.
    assert set(judge_server.asked().values()) == {1}
    judge_server.answer = lambda body: "8 7"
    assert len(ask(settings_for(), questions(20), store)) == 20
    assert len(judge_server.calls) == 22


def test_so_many_attempts_and_no_more(judge_server, settings_for, store, questions) -> None:
    judge_server.answer = lambda body: error(500, "oops") if question(body) == "question 1" else "8 7"
    with pytest.raises(ShepherdError, match=r"^1 of 3 requests .*500: oops"):
        ask(settings_for(attempts=4), questions(3), store)
    assert judge_server.asked()["question 1"] == 4


@pytest.mark.parametrize("empty", [completion(None), completion(""), no_choices()])
def test_an_empty_answer_is_a_reply(judge_server, settings_for, store, questions, empty) -> None:
    judge_server.answer = lambda body: empty
    (reply,) = ask(settings_for(), questions(1), store).values()
    assert reply.text == ""
    assert len(judge_server.calls) == 1


def test_a_server_that_counts_nothing(judge_server, settings_for, store, questions) -> None:
    judge_server.answer = lambda body: completion("8 7", usage=False)
    (reply,) = ask(settings_for(), questions(1), store).values()
    assert (reply.prompt_tokens, reply.completion_tokens) == (None, None)


def test_half_a_character_at_the_end_of_a_reply(judge_server, settings_for, store, questions) -> None:
    judge_server.answer = lambda body: completion("8 7 \ud83d", finish_reason="length")
    (reply,) = ask(settings_for(), questions(1), store).values()
    assert reply.text == "8 7 ?"
    assert reply.finish == "length"
    assert ReplyStore(store.path).get(reply.key) == reply


def test_text_in_parts(judge_server, settings_for, store, questions) -> None:
    parts = [{"type": "thinking"}, {"type": "text", "text": "8 "}, {"type": "text", "text": "7"}]
    judge_server.answer = lambda body: raw({"choices": [{"message": {"content": parts}}]})
    (reply,) = ask(settings_for(), questions(1), store).values()
    assert (reply.text, reply.model) == ("8 7", "judge")


def test_trouble_behind_a_gateway_that_says_200(judge_server, settings_for, store, questions) -> None:
    judge_server.script.append(raw({"error": {"message": "upstream is full", "code": 429}}))
    assert len(ask(settings_for(), questions(1), store)) == 1


REFUSES_MAX_TOKENS = error(
    400,
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    param="max_tokens",
    code="unsupported_parameter",
)
REFUSES_TEMPERATURE = error(
    400,
    "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.",
    param="temperature",
    code="unsupported_value",
)


def test_a_server_that_refuses_parameters_is_asked_without_them_from_then_on(
    judge_server, settings_for, store, questions, caplog
) -> None:
    def answer(body: dict) -> object:
        if "max_tokens" in body:
            return REFUSES_MAX_TOKENS
        return REFUSES_TEMPERATURE if "temperature" in body else "8 7"

    judge_server.answer = answer
    with caplog.at_level(logging.WARNING, "shepherd"):
        replies = ask(settings_for(concurrency=4, attempts=1), questions(12), store)
    assert len(replies) == 12
    assert [len(record.args or ()) for record in caplog.records] == [0, 0]
    assert "max_completion_tokens" in caplog.text
    assert "temperature" in caplog.text
    # Only those that were under way together found it out.
    assert len(judge_server.calls) <= 12 + 2 * 4
    last = judge_server.calls[-1]
    assert last["max_completion_tokens"] == 64
    assert not {"temperature", "max_tokens"} & set(last)
    asked = json.loads(store.path.read_text().splitlines()[-1])["asked"]
    assert set(asked) == {"model", "messages", "max_completion_tokens", "turn"}


def test_what_a_callback_raises_comes_out_and_nothing_is_lost(settings_for, store, questions) -> None:
    def tell(reply: Reply) -> None:
        raise ShepherdError("the terminal is gone")

    with pytest.raises(ShepherdError, match="the terminal is gone"):
        ask(settings_for(), questions(5), store, tell)
    assert ReplyStore(store.path).replies


def test_it_also_works_inside_a_running_loop(settings_for, store, questions) -> None:
    async def notebook() -> int:
        return len(ask(settings_for(), questions(3), store))

    assert asyncio.run(notebook()) == 3
