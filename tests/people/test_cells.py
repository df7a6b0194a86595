from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shepherd.errors import ShepherdError
from shepherd.people.cells import csv_bytes, harmless, plain, read_lines

NASTY = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "'=1",
    "''",
    "＝1",
    "plain, “quoted”",
    'a "b"',
]


def _read(path: Path, content: bytes) -> list[dict[str, str]]:
    path.write_bytes(content)
    return [line.cells for line in read_lines(path)[1]]


@given(st.one_of(st.text(), st.sampled_from(NASTY)))
def test_no_cell_is_a_formula_and_every_cell_comes_back(text: str) -> None:
    assert not harmless(text).startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))
    assert plain(harmless(text)) == text


@pytest.mark.parametrize("text", NASTY)
def test_what_is_written_is_read(tmp_path: Path, text: str) -> None:
    content = csv_bytes(["item", "comment"], [["x", text]])
    assert content.startswith(b"\xef\xbb\xbf")
    assert _read(tmp_path / "a.csv", content) == [{"item": "x", "comment": text.strip()}]


def test_another_reader_sees_the_same_cells() -> None:
    content = csv_bytes(["item", "answer"], [["x", "two\nlines, “and” a comma"]])
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert rows == [["item", "answer"], ["x", "two\nlines, “and” a comma"]]


def test_half_a_character_pair_is_written_as_a_question_mark() -> None:
    assert b"?" in csv_bytes(["a"], [["\ud800"]])


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_spreadsheets_of_all_countries_are_read(tmp_path: Path, separator: str) -> None:
    text = f"Item{separator} score_a {separator}{separator}\r\nx{separator}7,5{separator}{separator}\r\n"
    expected = [{"item": "x", "score_a": "7,5"}]
    if separator == ",":
        text, expected = text.replace("7,5", "7"), [{"item": "x", "score_a": "7"}]
    assert _read(tmp_path / "a.csv", text.encode("utf-8-sig")) == expected


def test_rows_are_numbered_as_spreadsheets_number_them(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('item,comment\nx,"two\nlines"\n,\ny\n')
    assert [(line.number, line.cells) for line in read_lines(path)[1]] == [
        (2, {"item": "x", "comment": "two\nlines"}),
        (4, {"item": "y", "comment": ""}),
    ]


def test_a_cell_may_be_long(tmp_path: Path) -> None:
    content = csv_bytes(["item"], [["x" * 300_000]])
    assert len(_read(tmp_path / "a.csv", content)[0]["item"]) == 300_000


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("item,commentaire\nx,é\n".encode("latin-1"), "not in UTF-8; save it"),
        ("item,é\n".encode("utf-16"), "not in UTF-8; save it"),
        (b"PK\x03\x04\x9c\xff", "not in UTF-8"),
        (b"", "row 1, has no headings"),
        (b"item,item\n", "row 1, has the column 'item' twice"),
        (b'item,comment\nx,"open', "is no CSV from line 2 on"),
        (b"item\nx,what is this\n", "row 2, has more cells than there are columns"),
    ],
)
def test_what_is_no_sheet_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(ShepherdError, match=said):
        _read(tmp_path / "a.csv", content)


def test_a_sheet_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShepherdError, match="cannot be read"):
        read_lines(tmp_path)
