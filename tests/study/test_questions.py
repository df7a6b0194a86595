from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from shepherd.errors import ShepherdError
from shepherd.study.questions import Question, drawn, read_questions

Written = Callable[..., Path]


def test_vicunas_layout_asks_the_first_turn(written: Written) -> None:
    path = written(
        [
            {"question_id": 7, "category": "maths", "turns": ["One?", "Two?"]},
            {"question_id": 9, "category": "", "turns": ["Three?"]},
        ]
    )
    assert read_questions(str(path)) == [Question("7", "maths", "One?"), Question("9", "", "Three?")]


def test_an_instruction_file_keeps_its_references_and_its_other_columns(written: Written) -> None:
    path = written(
        [
            {"id": "x", "instruction": "Add.", "input": "1 2", "outputs": ["3", "three"], "language": "en"},
            {"id": "y", "instruction": "Sing.", "input": "", "outputs": None, "language": None},
        ]
    )
    one, other = read_questions(str(path))
    assert one == Question("x", "", "Add.", "1 2", ["3", "three"], {"language": "en"})
    assert other == Question("y", "", "Sing.")


def test_no_response_is_needed_and_numbers_name_what_has_no_id(written: Written) -> None:
    path = written([{"prompt": "One?", "id": "same"}, {"prompt": "Two?", "id": "same"}])
    found = read_questions(str(path))
    assert [(q.id, q.references, q.fields) for q in found] == [
        ("1", [], {"id": "same"}),
        ("2", [], {"id": "same"}),
    ]


def test_columns_say_what_is_not_recognised(written: Written) -> None:
    path = written([{"q": "One?", "subject": "art", "a": "1"}])
    columns = {"instruction": "q", "response": "a", "category": "subject"}
    assert read_questions(str(path), columns) == [Question("1", "art", "One?", "", ["1"], {"subject": "art"})]
    with pytest.raises(ShepherdError, match=r"no column for the instruction.*--columns PART=COLUMN"):
        read_questions(str(path))


def test_what_json_does_not_know_is_kept_as_text(tmp_path: Path) -> None:
    path = tmp_path / "questions.parquet"
    parquet.write_table(pyarrow.table({"instruction": ["When?"], "asked": [date(2024, 5, 1)]}), path)
    assert read_questions(str(path))[0].fields == {"asked": "2024-05-01"}


@pytest.mark.parametrize(
    ("second", "what"),
    [
        ({"question_id": 1, "turns": ["Other?"]}, r"the same question_id '1' as \S+:1"),
        ({"question_id": 2, "turns": ["Same?"]}, r"the same question as \S+:1"),
        ({"question_id": 2, "turns": []}, "no list of texts in 'turns'"),
        ({"question_id": 2, "turns": [3]}, "a number in 'instruction'"),
    ],
)
def test_what_cannot_be_used_is_named_by_its_line(
    written: Written, second: dict[str, object], what: str
) -> None:
    path = written([{"question_id": 1, "turns": ["Same?"]}, second])
    with pytest.raises(ShepherdError, match=rf"questions\.jsonl:2 .*{what}"):
        read_questions(str(path))


def test_the_same_instruction_about_another_text_is_another_question(written: Written) -> None:
    path = written([{"instruction": "Sum up.", "context": text} for text in ("one", "two")])
    assert len(read_questions(str(path))) == 2


def test_no_file_and_no_rows(written: Written) -> None:
    with pytest.raises(ShepherdError, match=r"no file nowhere\.jsonl .* vicuna, or holdout"):
        read_questions("nowhere.jsonl")
    with pytest.raises(ShepherdError, match="holds no questions"):
        read_questions(str(written([])))


CATEGORIES = st.lists(st.sampled_from("abc"), min_size=1, max_size=40)


@given(CATEGORIES, st.integers(0, 3), st.data())
def test_drawn_questions_are_balanced_nested_and_in_order(
    categories: list[str], seed: int, data: st.DataObject
) -> None:
    questions = [Question(str(n), category, f"{n}?") for n, category in enumerate(categories)]
    fewer, more = sorted(data.draw(st.tuples(*[st.integers(1, len(questions))] * 2)))
    few, many = drawn(questions, fewer, seed), drawn(questions, more, seed)
    assert len(few) == fewer
    assert {q.id for q in few} <= {q.id for q in many}
    assert few == [q for q in questions if q in few]
    counts, available = Counter(q.category for q in few), Counter(categories)
    # No category is behind another by more than one, unless it is used up.
    most = max(counts.values(), default=0)
    assert all(counts[c] >= min(most - 1, available[c]) for c in available)
    assert drawn(questions, len(questions), seed) == questions


def test_seeds_draw_differently_and_no_more_than_there_are() -> None:
    questions = [Question(str(n), "", f"{n}?") for n in range(80)]
    assert drawn(questions, 20, 0) != drawn(questions, 20, 1)
    for count in (0, 81):
        with pytest.raises(ShepherdError, match=f"80 questions, not {count}"):
            drawn(questions, count, 0)
