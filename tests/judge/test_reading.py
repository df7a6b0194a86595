"""Replies are read strictly: every bad one that judges have been seen to give, and properties of all others."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shepherd.judge.reading import SHOWN, Reading, read, shortened

SCORE = st.decimals(1, 10, places=1)


@pytest.mark.parametrize(
    ("reply", "scores"),
    [
        ("8 7\nThe first is clearer.", (8, 7)),
        ("  \n\n8 7", (8, 7)),
        ("8.5 7", (8.5, 7)),
        ("8, 7", (8, 7)),
        ("8 and 7", (8, 7)),
        ("8\t7", (8, 7)),
        ("**8 7**\nbecause", (8, 7)),
        ("**8** **7**", (8, 7)),
        ("`10 1`", (10, 1)),
        ("9/10 8/10", (9, 8)),
        ("<think>Perhaps 1 2?</think>\n\n3 4\nAs said.", (3, 4)),
        ("Assistant 1: 8\nAssistant 2: 7\nBoth are fine.", (8, 7)),
        ("Both are fine.\n\n**Assistant 2:** 7/10\n**Assistant 1:** 8/10", (8, 7)),
        ("Assistant 2: 7 / Assistant 1: 8", (8, 7)),
        ("assistant 1's score = 8, assistant 2's score = 7.", (8, 7)),
        ("Assistant 1: 8\nAssistant 2: 7\nSo again: no.\nAssistant 1: 8", (8, 7)),
    ],
)
def test_scores_that_can_be_read(reply: str, scores: tuple[float, float]) -> None:
    reading = read("scores", reply)
    assert reading is not None
    assert reading.scores == scores


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "0 5",
        "5 0",
        "11 5",
        "5 11",
        "10.5 9",
        "-8 7",
        "9/10",
        "9 / 10",
        "9/10, 8",
        "8 / 7",
        "8,7",  # one number in half of Europe
        "8-9 7",
        "8 7 6",
        "8",
        "ten nine",
        "ten",
        "８ 7",
        "1e1 8",
        "8.5.3 7",
        "nan 7",
        "Scores: 8 7",
        "The first is clearer, so\n8 7",  # reasons first: whose number is whose is a guess
        "<think>8 7",
        "<think>\nAssistant 1: 8\nAssistant 2: 3\nhmm, wait",
        "8 7\n</think>",
        "Assistant 1: 8",
        "Assistant 1: 8\nAssistant 1: 7",
        "Assistant 1: 8\nAssistant 2: 7\nOn reflection:\nAssistant 1: 6",
        "Assistant 1: 8\nAssistant 2: 11",
        "Assistant 1: 80/100\nAssistant 2: 7",
        "Accuracy: Assistant 1: 8\nAccuracy: Assistant 2: 7",
        "[[A]]",
    ],
)
def test_scores_that_cannot_be_read(reply: str) -> None:
    assert read("scores", reply) is None


@given(SCORE, SCORE, st.sampled_from([" ", ", ", " and ", "  "]), st.text())
def test_any_two_scores_in_range_are_read(first: object, second: object, between: str, reason: str) -> None:
    reading = read("scores", f"{first}{between}{second}\n{reason}")
    assert reading is not None
    assert reading.scores == (float(str(first)), float(str(second)))
    expected = (reading.scores[0] > reading.scores[1]) - (reading.scores[0] < reading.scores[1])
    assert reading.better == {1: "first", 0: "tie", -1: "second"}[expected]


@given(st.floats(0, 100).filter(lambda x: not 1 <= x <= 10), SCORE)
def test_no_score_out_of_range_is_read(outside: float, inside: object) -> None:
    assert read("scores", f"{outside:.20f} {inside}") is None
    assert read("single", f"[[{outside:.20f}]]") is None


@given(st.text(alphabet=st.characters(blacklist_categories=["Nd", "Cs"])))
def test_a_text_without_digits_has_no_scores(text: str) -> None:
    assert read("scores", text) is None
    assert read("single", text) is None


@given(st.text(alphabet="189 .,/\n[]ABCassistant:", max_size=30))
def test_whatever_is_read_as_scores_has_two_lone_numbers_or_labels(text: str) -> None:
    reading = read("scores", text)
    if reading is not None:
        first = text.strip().split("\n")[0]
        assert re.fullmatch(r"[0-9.]+(/10)?[,; ]+[0-9.]+(/10)?", first.strip()) or "assistant" in text
        assert all(1 <= score <= 10 for score in reading.scores)


def test_the_reason_stands_behind_the_scores() -> None:
    assert read("scores", "8 7\n\nThe first.\nReally.") == Reading((8, 7), "first", "The first.\nReally.")
    labelled = read("scores", "So.\nAssistant 1: 7\nAssistant 2: 8\nDone.")
    assert labelled == Reading((7, 8), "second", "So.\nDone.")


@pytest.mark.parametrize(
    ("reply", "better"),
    [
        ("A is right.\n[[A]]", "first"),
        ("[[B]]", "second"),
        ("Both are fine.\n**[[C]]**", "tie"),
        ("[[A]] it is: [[A]]", "first"),
        ("<think>[[B]]?</think>[[A]]", "first"),
        ("perhaps [[B]]\n</think>\n[[A]]", "first"),
        ("<think>perhaps [[A]] but", None),
        ("[[A]] or [[B]]", None),
        ("[[D]]", None),
        ("[[a]]", None),
        ("[A]", None),
        ("Assistant A", None),
        ("", None),
    ],
)
def test_verdicts(reply: str, better: str | None) -> None:
    reading = read("verdict", reply)
    assert (reading.better if reading else None) == better
    assert reading is None or reading.scores == ()


def test_the_reason_stands_before_the_verdict() -> None:
    def reason(reply: str) -> str:
        reading = read("verdict", reply)
        assert reading is not None
        return reading.reason

    assert reason("A names the year.\n\nFinal verdict: [[A]]") == "A names the year."
    assert reason("A names the year: [[A]]") == "A names the year:"
    assert reason("[[A]]\nIt names the year.") == "It names the year."


@pytest.mark.parametrize(
    ("reply", "grade"),
    [
        ("Fine.\nRating: [[8]]", 8),
        ("Rating: [[8.5]]", 8.5),
        ("[[8]], that is [[8.0]]", 8),
        ("Rating: [[0]]", None),
        ("Rating: [[11]]", None),
        ("Rating: [[8]] [[9]]", None),
        ("Rating: [[8]] [[11]]", None),
        ("Rating: [[9/10]]", None),
        ("Rating: [[ten]]", None),
        ("Rating: 8", None),
    ],
)
def test_single_grades(reply: str, grade: float | None) -> None:
    reading = read("single", reply)
    assert (reading.scores if reading else None) == ((grade,) if grade else None)
    assert reading is None or reading.better is None


def test_what_cannot_be_read_is_shortened() -> None:
    assert shortened(" short ") == "short"
    assert len(shortened("x" * 10_000)) == SHOWN
    assert shortened("x" * SHOWN) == "x" * SHOWN
