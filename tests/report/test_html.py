from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from html_page import Page

from shepherd.errors import ShepherdError
from shepherd.report.html import write_report
from shepherd.report.record import read_record
from shepherd.report.side_by_side import side_by_side


def _page(run: Path) -> Page:
    return Page(write_report(run).read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def written(finished_run: Path) -> Path:
    """Return the report of a run with baselines, written once."""
    path = write_report(finished_run)
    assert path == finished_run / "report.html"
    return path


def test_one_small_file_that_fetches_nothing(written: Path) -> None:
    path, source = written, written.read_text(encoding="utf-8")
    assert path.stat().st_size < 3_000_000
    assert not re.search(r'(src|href|action|data)="(?!#|data:)', source)
    assert "@import" not in source
    assert not re.search(r"url\((?!#)", source)
    assert not {"script", "link", "iframe", "object", "base"} & set(Page(source).names)


def test_well_formed_with_unique_identifiers_and_alternative_texts(written: Path) -> None:
    page = Page(written.read_text(encoding="utf-8"))
    assert page.open == []
    known = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(known) == len(set(known))
    pictures = [attributes for tag, attributes in page.tags if tag in ("svg", "img")]
    assert len(pictures) == 7
    assert all(attributes.get("aria-label") or attributes.get("alt") for attributes in pictures)


def test_the_summary_tells_the_run_in_words(written: Path) -> None:
    text = " ".join(Page(written.read_text(encoding="utf-8")).text.split())
    assert (
        "base model lamb was tuned with a LoRA adapter, rank 8, on 1,200 instructions from dolly-small.jsonl"
        in text
    )
    assert "In each of 8 rounds, 3 clients trained" in text
    assert "the loss fell from 4.300 to" in text
    assert "below that of the best of 2 clients trained alone (client-01:" in text
    assert "above that of the model trained on all data pooled" in text
    for fact in ("Parameters frozen6.82 M", "Share trainable3.0 %", "Peak memory910 MB"):
        assert fact in text


@pytest.mark.usefixtures("undrawn")
def test_a_run_without_baselines_shows_before_and_after(run: Path) -> None:
    text = _page(run).text
    assert "Before and after" in text
    assert "Against the baselines" not in text
    assert "untuned" in text


def test_a_run_without_anything_optional(run: Path) -> None:
    for name in ("allocation.json", "answers.jsonl"):
        (run / name).unlink()
    (run / "environment.json").write_text("{}")
    (run / "config.yaml").write_text("{}")
    line = {"round": 0, "scope": "global", "loss": float("nan"), "perplexity": float("inf")}
    (run / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    text = _page(run).text
    assert "No round has been trained yet" in text
    assert "Answers side by side" not in text


def test_untrusted_text_is_escaped_everywhere(compared_run: Path, make_run: Callable[..., Path]) -> None:
    evil = "<script>alert('x')</script><img src=http://evil.example/a.png>"
    make_run(compared_run, clients=[f"{evil}{k}" for k in range(3)], says=evil)
    make_run(compared_run / "baselines" / "alone-<b>x<", clients=["x"], says="\ud800 & </dd></dl>")
    lines = [json.loads(line) for line in (compared_run / "answers.jsonl").read_text().splitlines()]
    for line in lines:
        line.update(instruction=evil, context=evil, references=[evil], category=evil)
    (compared_run / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = _page(compared_run)
    assert page.open == []
    assert not {"script", "b"} & {tag for tag, _ in page.tags}
    assert not any(str(attributes.get("src", "data:")).startswith("http") for _, attributes in page.tags)
    assert evil in page.text


def test_answers_stand_side_by_side_by_row(compared_run: Path) -> None:
    record = read_record(compared_run)
    questions = side_by_side([record, *record.baselines()])
    assert len({question.category for question in questions}) == len(questions) == 6
    labels = [label for label, _, _ in questions[0].answers]
    assert labels == ["untuned", "alone-client-00", "alone-client-01", "centralised", "quickstart"]
    assert questions[0].answers[1][1] == "Because of grass."


def test_rows_everybody_answered_come_first(compared_run: Path) -> None:
    path = compared_run / "baselines" / "centralised" / "answers.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[6:]))
    record = read_record(compared_run)
    questions = side_by_side([record, *record.baselines()])
    assert all(len(question.answers) == 5 for question in questions)


@pytest.mark.usefixtures("undrawn")
def test_unfinished_baselines_are_named(compared_run: Path) -> None:
    path = compared_run / "baselines" / "centralised" / "metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:5]))
    assert "Not finished when this report was written: centralised." in _page(compared_run).text


def test_a_damaged_allocation_is_named(run: Path) -> None:
    (run / "allocation.json").write_text("{")
    with pytest.raises(ShepherdError, match=r"allocation\.json is damaged"):
        write_report(run)


def test_the_same_run_gives_the_same_bytes(written: Path) -> None:
    first = written.read_bytes()
    assert write_report(written.parent).read_bytes() == first


def test_a_run_of_sites_says_nothing_of_an_allocation(run: Path) -> None:
    (run / "allocation.json").unlink()
    path = run / "environment.json"
    environment = json.loads(path.read_text())
    environment["data"]["source"] = "3 sites"
    path.write_text(json.dumps({**environment, "sites": {"north": {"device": "cpu"}}}))
    text = " ".join(Page(write_report(run).read_text()).text.split())
    assert "on 1,200 instructions from 3 sites. In each" in text
    assert "(allocation" not in text


@pytest.mark.usefixtures("undrawn")
def test_ratios_to_a_run_that_keeps_clients_parts_are_not_explained(run: Path) -> None:
    said = "above 1, the federated model is the better one"
    assert said in " ".join(_page(run).text.split())
    environment = json.loads((run / "environment.json").read_text())
    own = {"adapter": {"own_parameters": 64}}
    (run / "environment.json").write_text(json.dumps(environment | own))
    text = " ".join(_page(run).text.split())
    assert said not in text
    assert "Never marked as best: federated, of which parts are each client's own" in text
