"""What a judge is shown; above all, that no answer can climb out of its fence."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shepherd.errors import ShepherdError
from shepherd.judge.fences import fenced, harmless
from shepherd.judge.prompts import ANSWERS, parse_prompt, read_prompt
from shepherd.study.questions import Question

QUESTION = Question(
    "1", "a", "Why is the sky blue?", "It is day.", ["Rayleigh scattering.", "Air scatters blue."]
)
PIECES = st.sampled_from(
    [
        "<",
        "<<",
        "＜",
        "⋘",
        "«",
        "⟪",
        "\u200b",
        "\ufeff",
        "ANSWER ENDS",
        ">>>",
        " ",
        "\n",
        "|",
        "im_end",
        "/s>",
        "[INST]",
        "x",
    ]
)


@pytest.mark.parametrize("form", ["scores", "verdict", "single"])
def test_our_prompts_show_everything_once(form: str) -> None:
    prompt = read_prompt(form)  # type: ignore[arg-type]
    texts = [f"text {n}" for n, _ in enumerate(ANSWERS[prompt.form])]
    system, user = prompt.messages(QUESTION, *texts)
    assert (system.role, user.role) == ("system", "user")
    for text in (*texts, QUESTION.instruction, QUESTION.context, *QUESTION.references):
        assert user.content.count(text) == 1
    assert not re.search(r"\{\w+\}", system.content + user.content)
    assert user.content.index("text 0") > user.content.index("Rayleigh")
    assert prompt.fingerprint == hashlib.sha256(prompt.text.encode()).hexdigest()


def test_answers_are_shown_in_the_order_given() -> None:
    _, user = read_prompt("scores").messages(QUESTION, "one", "two")
    assert fenced("answer of Assistant 1", "one") in user.content
    assert fenced("answer of Assistant 2", "two") in user.content


def test_a_question_without_references_speaks_of_none() -> None:
    prompt = read_prompt("scores")
    _, user = prompt.messages(Question("1", "a", "Why?"), "one", "two")
    assert "REFERENCE" not in user.content
    assert "\n\n\n" not in user.content


def test_placeholders_in_an_answer_stay_text() -> None:
    _, user = read_prompt("scores").messages(QUESTION, "{second} {question}", "two")
    assert "{second} {question}" in user.content
    assert user.content.count("two\n") == 1


@given(st.lists(PIECES | st.text(max_size=3)).map("".join))
def test_no_text_can_write_a_mark(text: str) -> None:
    inside = fenced("answer", text).removeprefix("<<<ANSWER BEGINS>>>\n").removesuffix("\n<<<ANSWER ENDS>>>")
    seen = "".join(c for c in unicodedata.normalize("NFKC", inside) if unicodedata.category(c) != "Cf")
    for unlike in (inside, seen):
        assert "<<<" not in unlike
    assert not re.search(r"<\||</?s>|\[/?INST\]", inside, re.IGNORECASE)
    assert harmless(inside) == inside  # the same answer always makes the same request


@pytest.mark.parametrize(
    "text",
    [
        "a < b",
        "x << 2",
        "«Bonjour»",
        ">>> print(1)",
        "List<List<List<int>>>",
        "[1, 2]",
        "<b>bold</b>",
        "a | b",
        "[[A]]",
    ],
)
def test_harmless_text_is_left_alone(text: str) -> None:
    assert harmless(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "<|im_end|>",
        "<|eot_id|>",
        "</s>",
        "[/INST]",
        "<end_of_turn>",
        "<｜User｜>",
        "<<<ANSWER ENDS>>>",
        "<\u200b<<",
    ],
)
def test_what_could_end_a_turn_or_a_fence_is_put_apart(text: str) -> None:
    assert text not in harmless(f"before {text} after")


OWN = "[system]\nJudge.\n[user]\n{question} {first} {second}\n"


def test_a_prompt_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("\ufeff" + OWN.replace("\n", "\r\n"), encoding="utf-8", newline="")
    prompt = read_prompt("scores", path)
    system, user = prompt.messages(QUESTION, "one", "two")
    assert system.content == "Judge."
    assert user.content.startswith("<<<QUESTION BEGINS>>>")
    assert "Rayleigh" not in user.content
    assert prompt.text == OWN


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "[system]"),
        ("[user]\n{question} {first} {second}", "[system]"),
        ("Judge!\n" + OWN, "[system]"),
        (OWN + "[user]\nagain", "[system]"),
        (OWN.replace("{second}", ""), "lacks the placeholder {second}"),
        (OWN.replace("{second}", "{secnd}"), "did you mean 'second'"),
        (OWN.replace("Judge.", "Judge {first}."), "unknown placeholder {first}"),
        (OWN.replace("{question}", "{question} {reference}"), "write both or neither"),
        (OWN + "[reference]\n{answers}", "write both or neither"),
        (
            OWN.replace("{first}", "{first} {reference}") + "[reference]\nnone",
            "lacks the placeholder {answers}",
        ),
    ],
)
def test_a_prompt_that_cannot_be_used_is_refused(text: str, says: str) -> None:
    with pytest.raises(ShepherdError) as refusal:
        parse_prompt("scores", text, "the prompt mine.txt")
    assert says in str(refusal.value)
    assert "mine.txt" in str(refusal.value)


def test_a_prompt_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShepherdError, match="No such file"):
        read_prompt("scores", tmp_path / "none.txt")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ShepherdError, match="no UTF-8"):
        read_prompt("scores", tmp_path / "bytes.txt")
