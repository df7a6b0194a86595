"""Sheets out and back, as people and their spreadsheets treat them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rated_study import MODELS, answer

from shepherd.errors import ShepherdError
from shepherd.people.exchange import Taken, hand_out, take_back
from shepherd.people.filled import read_sheet
from shepherd.people.items import Item, Material, draw
from shepherd.people.keys import keys_folder, read_keys
from shepherd.people.rating import HumanRating, outdated, ratings
from shepherd.people.sheet import held, sheet_path
from shepherd.study.directory import Study

Rows = list[dict[str, str]]


def _out(
    study: Study, rater: str = "anna", reference: str = "chatgpt", count: int | None = None
) -> list[Item]:
    material = Material(study)
    items = draw(material, MODELS, reference, count, rater=rater).items
    hand_out(study, rater, items, material)
    return items


def _rows(path: Path) -> Rows:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline="")))


def _back(
    study: Study,
    change: Callable[[Rows], Rows | None],
    rater: str | None = None,
    source: str = "anna",
) -> Taken:
    """Fill a copy of a sheet as `change` says, and take it back."""
    rows = _rows(sheet_path(study, source))
    rows = change(rows) or rows
    path = study.path.parent / "filled.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    return take_back(study, path, rater)


def test_the_sheet_tells_nothing_of_whose_answers_they_are(study: Study) -> None:
    for label in MODELS:
        answer(study, label, {f"q{n}": f"words {hash((label, n)) % 97}" for n in range(6)})
    items = _out(study)
    text = sheet_path(study, "anna").read_text("utf-8-sig")
    assert not any(label in text for label in MODELS)
    rows = _rows(sheet_path(study, "anna"))
    assert list(rows[0]) == [
        "item", "question", "context", "answer_a", "answer_b", "score_a", "score_b", "comment",
    ]  # fmt: skip
    assert [row["item"] for row in rows] == [item.id for item in items]
    material = Material(study)
    for row, item in zip(rows, items, strict=True):
        assert (row["answer_a"], row["answer_b"]) == material.answers(item.question, item.labels)
    assert all(label in next(keys_folder(study).iterdir()).read_text() for label in MODELS)


def test_answers_alone_have_no_second_columns(study: Study) -> None:
    _out(study, reference="")
    assert list(_rows(sheet_path(study, "anna"))[0]) == [
        "item", "question", "context", "answer_a", "score_a", "comment",
    ]  # fmt: skip


def test_what_comes_back_is_unblinded(study: Study) -> None:
    items = {item.id: item for item in _out(study)}

    def fill(rows: Rows) -> None:
        for row in rows[:3]:
            side = "b" if items[row["item"]].swapped else "a"
            row |= {"score_a": "3,5", "score_b": "3,5", f"score_{side}": "8", "comment": "'=clear"}

    taken = _back(study, fill)
    assert (taken.rater, taken.rated, taken.begun, taken.unrated) == ("anna", 3, 0, 9)
    three = list(items.values())[:3]
    assert ratings(study) == [
        HumanRating("anna", item.question, item.model, "chatgpt", 8, 3.5, "model", "=clear") for item in three
    ]


def test_a_tie_and_a_loss(study: Study) -> None:
    items = {item.id: item for item in _out(study)}

    def fill(rows: Rows) -> None:
        rows[0] |= {"score_a": "6", "score_b": "6"}
        rows[1] |= {f"score_{'a' if items[rows[1]['item']].swapped else 'b'}": "9"}
        rows[1] |= {f"score_{'b' if items[rows[1]['item']].swapped else 'a'}": "2"}

    _back(study, fill)
    assert [rating.winner for rating in ratings(study)] == ["tie", "reference"]


def test_answers_alone_have_a_score_and_no_winner(study: Study) -> None:
    _out(study, reference="")
    _back(study, lambda rows: rows[0].update(score_a="10"))
    assert [(r.score, r.reference, r.reference_score, r.winner) for r in ratings(study)] == [
        (10, "", None, None)
    ]


def test_one_sheet_sent_to_several_people(study: Study) -> None:
    _out(study)
    first = _back(study, lambda rows: rows[0].update(score_a="1", score_b="10"))
    second = _back(study, lambda rows: rows[0].update(score_a="1", score_b="10"), rater="ben")
    assert (first.rater, second.rater) == ("anna", "ben")
    anna, ben = ratings(study)
    assert (anna.rater, ben.rater) == ("anna", "ben")
    assert (anna.question, anna.model, anna.score) == (ben.question, ben.model, ben.score)


def _fill_one(rows: Rows) -> None:
    rows[0].update(score_a="1", score_b="2", comment="hm")


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[0].update(score_a="4"),
        lambda rows: rows[0].update(score_a="", score_b=""),
        lambda rows: rows[1:],
    ],
)
def test_a_sheet_that_contradicts_or_lacks_ratings_is_refused(
    study: Study, change: Callable[[Rows], Rows | None]
) -> None:
    _out(study)
    _back(study, _fill_one)
    path = sheet_path(study, "anna")
    before = path.read_bytes()
    with pytest.raises(ShepherdError, match=r"'anna' has ratings already, .* for 1 item of them") as refused:
        _back(study, change)
    assert str(refused.value).endswith(f"give another --rater, or remove {path} first.")
    assert path.read_bytes() == before
    _back(study, change, rater="ben")
    path.unlink()
    _back(study, change, source="ben")


def test_the_same_sheet_with_more_filled_is_read_again(study: Study) -> None:
    _out(study)
    _back(study, _fill_one)
    assert _back(study, lambda rows: rows[1].update(score_a="4", score_b="3")).rated == 2
    assert len(ratings(study)) == 2


def test_half_a_pair_is_kept_and_does_not_count(study: Study) -> None:
    _out(study)
    taken = _back(study, lambda rows: rows[0].update(score_b="7"))
    assert (taken.rated, taken.begun, taken.unrated) == (0, 1, 11)
    assert _rows(sheet_path(study, "anna"))[0]["score_b"] == "7"
    assert ratings(study) == []


def test_a_sheet_is_handed_out_again_with_more_and_keeps_what_was_said(study: Study) -> None:
    first = _out(study, count=2)
    _back(study, lambda rows: rows[1].update(score_a="5", score_b="6", comment="so"))
    _out(study, count=4)
    _out(study, reference="")
    rows = _rows(sheet_path(study, "anna"))
    assert [row["item"] for row in rows[:4]] == [item.id for item in first]
    assert len(rows) == 4 + 4 + 18
    assert (rows[1]["score_a"], rows[1]["score_b"], rows[1]["comment"]) == ("5", "6", "so")
    assert len(ratings(study)) == 1


def test_columns_may_be_moved_added_and_dropped(study: Study) -> None:
    _out(study)

    def fill(rows: Rows) -> Rows:
        rows[0] |= {"score_a": "5", "score_b": "6"}
        kept = ("score_b", "Item", "score_a")
        return [{k: row.get(k.lower(), "") for k in kept} | {"mine": "?"} for row in reversed(rows)]

    assert _back(study, fill).rated == 1
    assert _rows(sheet_path(study, "anna"))[0]["answer_a"].startswith("What ")


@pytest.mark.parametrize(
    "score", ["0", "11", "9/10", "ten", "10.5", "nan", "inf", "-3", "7 8", "1e1.5", "TRUE"]
)
def test_what_is_no_score_is_named_by_its_row(study: Study, score: str) -> None:
    _out(study)
    with pytest.raises(ShepherdError) as refused:
        _back(study, lambda rows: rows[4].update(score_a="5", score_b=score))
    assert f"filled.csv, row 6, has the score_b '{score}'; write a number from 1 to 10" in str(refused.value)
    assert ratings(study) == []


def _without(column: str) -> Callable[[Rows], Rows]:
    return lambda rows: [{k: v for k, v in row.items() if k != column} for row in rows]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without("item"), "row 1, has no column 'item'"),
        (_without("score_b"), "row 1, has no column 'score_b'; did you mean"),
        (
            lambda rows: rows[2].update(item="stranger"),
            "row 4, has the unknown item 'stranger'; is it a sheet of",
        ),
        (lambda rows: rows[2].update(item=""), "row 4, names no item"),
        (lambda rows: [*rows, rows[0]], "row 14, is about item [a-z]+ again"),
        (
            lambda rows: rows[3].update(answer_a=rows[5]["answer_a"]),
            "stands beside an answer that is not its own",
        ),
        (
            lambda rows: [r | {"answer_a": r["answer_b"], "answer_b": r["answer_a"]} for r in rows],
            "stands beside an answer that is not its own",
        ),
    ],
)
def test_a_changed_sheet_is_refused(study: Study, change: Callable[[Rows], Rows | None], said: str) -> None:
    _out(study)
    with pytest.raises(ShepherdError, match=said):
        _back(study, change)


def test_an_answer_that_the_spreadsheet_wrote_otherwise_is_let_be(study: Study) -> None:
    _out(study)
    mangle = {"answer_a": "02. Jan", "score_a": "4", "score_b": "4"}
    assert _back(study, lambda rows: rows[3].update(mangle)).rated == 1


def test_no_sheet_an_empty_one_and_one_of_two_raters_are_refused(study: Study, tmp_path: Path) -> None:
    with pytest.raises(ShepherdError, match="There is no sheet"):
        take_back(study, tmp_path / "none.csv")
    _out(study)
    _out(study, "ben")
    (tmp_path / "empty.csv").write_text("item,score_a,score_b\n")
    with pytest.raises(ShepherdError, match="has no rows"):
        take_back(study, tmp_path / "empty.csv")
    with pytest.raises(ShepherdError, match="items drawn for anna, ben; say with --rater"):
        _back(study, lambda rows: [rows[0], *_rows(sheet_path(study, "ben"))])


def test_the_studys_own_sheet_can_be_filled_where_it_is(study: Study) -> None:
    _out(study)
    path = sheet_path(study, "anna")
    before = path.read_bytes()
    assert take_back(study, path).unrated == 12
    assert path.read_bytes() == before


def test_ratings_of_answers_given_anew_are_left_out(study: Study) -> None:
    items = _out(study)
    _back(study, lambda rows: [row | {"score_a": "5", "score_b": "6"} for row in rows])
    answer(study, "federated", {f"q{n}": "another answer" for n in range(6)})
    assert {rating.model for rating in ratings(study)} == {"alone/client-03"}
    assert outdated(study) == 6
    _out(study)
    rows = read_sheet(sheet_path(study, "anna"), read_keys(study))
    assert len(rows) == len(items) + 6
    assert sum(row.is_rated for row in rows.values()) == 12


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b"])
def test_a_rater_is_a_name_for_a_file(study: Study, name: str) -> None:
    with pytest.raises(ShepherdError, match="--rater is"):
        sheet_path(study, name)


def test_one_rater_rates_in_one_place(study: Study) -> None:
    with (
        held(study, "anna"),
        held(study, "ben"),
        pytest.raises(ShepherdError, match="open in another"),
        held(study, "anna"),
    ):
        pass
