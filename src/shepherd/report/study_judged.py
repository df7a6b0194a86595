"""What a study's judges found, as a page shows it: for each judge, form and reference its tables and pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from shepherd.endpoint import EndpointSettings, ReplyStore, cost
from shepherd.judge.judgement import Form
from shepherd.judge.model_result import JudgeResults
from shepherd.judge.record import Record, read_record
from shepherd.judge.results import judge_results
from shepherd.report.drawing import drawn
from shepherd.report.grid import Grid, grid, plain_words
from shepherd.report.judge_figures import length_figure, relative_scores_figure, win_rates_figure
from shepherd.report.judge_tables import result_tables
from shepherd.report.units import fixed, whole
from shepherd.study.directory import Study

_FORMS: dict[Form, str] = {
    "scores": "rated both answers from 1 to 10",
    "verdict": "said which of two answers is better",
    "single": "graded each answer from 1 to 10 by itself",
}


@dataclass(frozen=True)
class Judged:
    """A section of the page; `asked` says how the judge was asked, `spent` what all its replies have cost."""

    heading: str
    asked: str
    notes: list[str]
    tables: list[tuple[str, Grid]]
    pictures: list[Markup]
    spent: list[tuple[str, str]]


def judged_sections(study: Study, counts: list[int], seed: int) -> Iterator[Judged]:
    """Yield the sections of a study, of fewer questions first where `counts` asks for them."""
    for judge in study.judges():
        record = read_record(study, judge)
        spent = _spent(study, judge, record)
        for form, reference in dict.fromkeys((c.form, c.reference) for c in record.comparisons):
            for count in [*counts, None]:
                results = judge_results(study, judge, reference or None, form, count=count, seed=seed)
                yield _section(
                    results, record, spent, f"{len(study.judges())}{judge}{form}{reference}{count}"
                )


def _section(results: JudgeResults, record: Record, spent: list[tuple[str, str]], name: str) -> Judged:
    against = f", against {results.reference}" if results.reference else ""
    asked = [c for c in record.comparisons if c.form == results.form]
    comparison = next((c for c in asked if c.reference == results.reference), asked[0])
    times = "once" if comparison.ratings == 1 else f"{comparison.ratings} times"
    orders = ", in both orders" if comparison.swap else ", in one order"
    return Judged(
        heading=f"Judge {results.judge}{against}: {results.questions} questions",
        asked=f"The judge {record.model} {_FORMS[results.form]}, {times}{orders if results.reference else ''}, "
        f"at temperature {record.temperature:g}.",
        notes=results.notes,
        tables=[(plain_words(table.title), grid(table)) for table in result_tables(results)],
        pictures=list(_pictures(results, "".join(c for c in name if c.isalnum()))),
        spent=spent,
    )


def _pictures(results: JudgeResults, name: str) -> Iterator[Markup]:
    said = "; ".join(f"{m.label} {fixed(m.model_over_reference.estimate)}" for m in results.models)
    for kind, figure, described in (
        ("relative", relative_scores_figure(results), f"Scores relative to {results.reference}: {said}."),
        ("wins", win_rates_figure(results), "Share of questions each model wins, ties and loses."),
        ("length", length_figure(results), "Score differences against differences in length."),
    ):
        if figure is not None:
            yield drawn(figure, f"{kind}{name}", described)


def _spent(study: Study, judge: str, record: Record) -> list[tuple[str, str]]:
    settings = EndpointSettings(model=record.model, price_in=record.price_in, price_out=record.price_out)
    spent = cost(ReplyStore(study.judge_path(judge) / "replies.jsonl").replies.values(), settings)
    return [
        ("Replies", whole(spent.calls)),
        ("Tokens sent", whole(spent.prompt_tokens)),
        ("Tokens received", whole(spent.completion_tokens)),
        ("Cost", "not known" if spent.usd is None else f"{spent.usd:,.2f} USD"),
    ]
