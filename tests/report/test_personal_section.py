"""The report's section on clients' own adapters counts and draws those that have one."""

from __future__ import annotations

from pathlib import Path

from html_page import Page

from shepherd.personal_scores import PersonalScore, write_score
from shepherd.report.html import write_report
from shepherd.report.personal_section import personal_figure, personal_section
from shepherd.report.record import read_record


def score(client: str, own: float | None, **others: bool) -> PersonalScore:
    shared = None if own is None else 4.0
    return PersonalScore(client, 30, 0 if own is None else 8, shared, own, 4.0, 3.9, **others)


def text(run: Path) -> str:
    page = Page(write_report(run).read_text(encoding="utf-8"))
    assert page.open == []
    return " ".join(page.text.split())


def test_who_has_none_is_named_and_neither_counted_nor_drawn(run: Path) -> None:
    for one in (score("a", 3.5), score("b", 4.1), score("c", 4.0, has_own=False)):
        write_score(run, one)
    said = text(run)
    assert "better one for 50.0 % of the clients on their own test, and for 100.0 % on what nobody" in said
    assert (
        "Not counted: 1 client that never took part in a round that gives it one and uses everybody's (c)"
        in said
    )
    section = personal_section(read_record(run))
    assert section is not None
    assert 'aria-label="A dot for each of 2 clients' in str(section["picture"])
    assert [row[0].text for row in section["clients"].rows] == ["a", "b"]


def test_without_tests_of_their_own_there_is_what_nobody_has_seen(run: Path) -> None:
    write_score(run, score("a", None))
    assert len(personal_figure([score("a", None)]).axes) == 1
    said = text(run)
    assert "What it is worth to the client itself is not known" in said
    assert "No client keeps examples of its own to test on (data.own_test)." in said


def test_where_nobody_has_one_there_is_everybodys_alone(run: Path) -> None:
    write_score(run, score("a", 4.0, has_own=False))
    section = personal_section(read_record(run))
    assert section is not None
    assert (section["picture"], section["clients"]) == (None, None)
    assert "Client by client What becomes" not in text(run)


def test_of_many_the_first_are_named(run: Path) -> None:
    for client in range(30):
        write_score(run, score(f"{client:02d}", 4.0, has_own=False))
    write_score(run, score("x", 3.0))
    assert "18, 19 and 10 more)." in text(run)


def test_of_adapters_trained_on_pairs_none_is_the_better_one(run: Path) -> None:
    for one in (score("a", 3.5, of_pairs=True), score("b", 4.1, of_pairs=True)):
        write_score(run, one)
    said = text(run)
    assert "Trained on pairs: the loss is that of the chosen answers, which is not what" in said
    assert "Its own adapter has the lower loss for 50.0 % of the clients on their own test" in said
    own = said[said.index("Clients' own adapters Every client's") :]
    assert "better" not in own[: own.index("Before and after")]
    section = personal_section(read_record(run))
    assert section is not None
    assert not any(cell.bold for row in section["summary"].rows for cell in row)
