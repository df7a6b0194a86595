from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shepherd.evaluation.exact_match import exact_match
from shepherd.evaluation.token_f1 import token_f1
from shepherd.evaluation.words import bare_words, words

sentences = st.lists(st.sampled_from(["one", "two", "two", "three"]), min_size=1, max_size=8)


def by_hand(answer: list[str], reference: list[str]) -> float:
    """SQuAD's F1 (evaluate-v1.1.py): precision and recall of the words shared, with repetition."""
    shared = sum((Counter(answer) & Counter(reference)).values())
    if shared == 0:
        return 0.0
    precision, recall = shared / len(answer), shared / len(reference)
    return 2 * precision * recall / (precision + recall)


@given(sentences, st.lists(sentences, min_size=1, max_size=3))
def test_it_is_squads_best_over_the_references(answer: list[str], references: list[list[str]]) -> None:
    expected = max(by_hand(answer, reference) for reference in references)
    assert token_f1(" ".join(answer), [" ".join(r) for r in references]) == pytest.approx(expected)


@given(st.text(max_size=20), st.text(max_size=20))
def test_an_exact_match_shares_every_word(answer: str, reference: str) -> None:
    assert 0 <= token_f1(answer, [reference]) <= 1
    if exact_match(answer, [reference]):
        assert token_f1(answer, [reference]) == 1


def test_a_case_by_hand() -> None:
    # shared: "saffron", "is" of 2 and 5 words
    assert token_f1("Saffron is", ["It is Saffron, a spice."]) == pytest.approx(2 * 2 / (2 + 5))


def test_an_empty_answer_shares_nothing() -> None:
    assert token_f1("", ["a word"]) == token_f1("…", ["a word"]) == 0


def test_where_no_spaces_are_written_every_letter_is_a_word() -> None:
    assert words("在1929年, GPU!") == ["在", "1929", "年", "gpu"]
    assert words("กินข้าว") == ["กิ", "น", "ข้", "า", "ว"]  # marks stay with their letter
    assert words("ひらがなカナ") == list("ひらがなカナ")
    assert token_f1("北京市", ["北京"]) == pytest.approx(2 * 2 / 5)


def test_where_they_are_words_stay_whole() -> None:
    assert words("Мой брат") == ["мой", "брат"]
    assert words("తెలుగు భాష") == ["తెలుగు", "భాష"]
    assert words("한국어 문장") == ["한국어", "문장"]
    assert bare_words("l'oxygène, non") == ["loxygène", "non"]


def test_real_answers_in_eight_languages(shared: Path) -> None:
    lines = (shared / "data" / "aya-test-8-languages.jsonl").read_text(encoding="utf-8").splitlines()
    by_language: dict[str, list[float]] = {}
    for row in map(json.loads, lines):
        half = row["response"][: 1 + len(row["response"]) // 2]
        by_language.setdefault(row["language"], []).append(token_f1(half, [row["response"]]))
        assert token_f1(row["response"].upper(), [row["response"]]) > 0.9
    # Half of a text shares about half its words in every script: 2 * 1/2 / (1 + 1/2) = 2/3.
    for language, found in by_language.items():
        assert 0.5 < sum(found) / len(found) < 0.8, language
