from __future__ import annotations

import string
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from shepherd.evaluation.rouge import rouge_l

ascii_texts = st.text(st.sampled_from("aBc dE12 \n" + string.punctuation), max_size=40)
words = st.lists(st.sampled_from(["one", "two", "three", "four", "five"]), min_size=1, max_size=12)


def by_hand(answer: list[str], reference: list[str]) -> float:
    """F1 of the longest common subsequence, by the textbook recursion."""
    table = [[0] * (len(reference) + 1) for _ in range(len(answer) + 1)]
    for i, word in enumerate(answer):
        for j, other in enumerate(reference):
            longer = max(table[i][j + 1], table[i + 1][j])
            table[i + 1][j + 1] = table[i][j] + 1 if word == other else longer
    return 2 * table[-1][-1] / (len(answer) + len(reference))


@given(words, words)
def test_it_is_the_f1_of_the_longest_common_subsequence(answer: list[str], reference: list[str]) -> None:
    assert rouge_l(" ".join(answer), [" ".join(reference)]) == pytest.approx(by_hand(answer, reference))


@given(ascii_texts, ascii_texts)
def test_on_ascii_it_is_the_librarys_own(answer: str, reference: str) -> None:
    expected = RougeScorer(["rougeL"]).score(reference, answer)["rougeL"].fmeasure
    assert rouge_l(answer, [reference]) == expected


@given(words, st.lists(words, min_size=1, max_size=4))
def test_the_best_reference_counts(answer: list[str], references: list[list[str]]) -> None:
    expected = max(by_hand(answer, reference) for reference in references)
    assert rouge_l(" ".join(answer), [" ".join(r) for r in references]) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["Käse aus Köln", "Овцы пасутся", "羊が 草を 食べる", "Flock No. 7"])
def test_the_right_answer_scores_one_in_every_script(text: str) -> None:
    assert rouge_l(text, ["something else", text.upper() + "!"]) == 1


def test_the_same_text_scores_one_however_its_accents_are_encoded() -> None:
    composed = "Un café très animé"
    assert rouge_l(unicodedata.normalize("NFD", composed), [composed]) == 1


@pytest.mark.parametrize("answer", ["", "   ", "…!?"])
def test_an_answer_without_a_word_scores_nothing(answer: str) -> None:
    assert rouge_l(answer, ["a reference"]) == 0
    assert rouge_l("a word", [answer]) == 0
