from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shepherd.evaluation.exact_match import exact_match

ascii_texts = st.text(st.sampled_from("aBc d1 \n\t'" + string.punctuation), max_size=12)


def squad(text: str) -> str:
    """SQuAD's own normalisation (evaluate-v1.1.py), without the step that drops English articles."""
    dropped = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return " ".join(re.sub(r"\s+", " ", dropped).split())


@given(ascii_texts, ascii_texts)
def test_on_ascii_it_is_squads(answer: str, reference: str) -> None:
    if squad(answer) and squad(reference):
        assert exact_match(answer, [reference]) == float(squad(answer) == squad(reference))


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("  the Río\nGrande. ", "The Río Grande"),
        ("«Париж»", "париж!"),
        ("cafe\u0301", "Café"),
        ("答案:北京。", "答案 北京"),
        ("don't", "Don’t"),
        ("क्षत्रिय", "क्षत्रिय।"),
        ("👍", "👍 "),
        ("STRASSE", "Straße"),
    ],
)
def test_case_punctuation_spacing_and_encoding_do_not_count(answer: str, reference: str) -> None:
    assert exact_match(answer, ["something else", reference]) == 1


@pytest.mark.parametrize(
    ("answer", "reference"),
    [("", "a"), ("👍", "👎"), ("the cat", "cat"), ("7", "70"), ("", "👍"), ("resume", "résumé")],
)
def test_anything_else_does(answer: str, reference: str) -> None:
    assert exact_match(answer, [reference]) == 0
