"""What a study's judges found, as a page shows it: for each judge, form and reference its tables and pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from rich.table import Table

from shepherd.endpoint import EndpointSettings, ReplyStore, cost
from shepherd.evaluation.groups import columns_to_group_by, group
from shepherd.judge.judgement import Form
from shepherd.judge.model_result import JudgeResults
from shepherd.judge.record import Record, read_record
from shepherd.judge.results import judge_results
from shepherd.report.drawing import drawn
from shepherd.report.grid import Grid, grid, plain_words
from shepherd.report.judge_figures import length_figure, relative_scores_figure, win_rates_figure
from shepherd.report.judge_groups import regrouped
from shepherd.report.judge_tables import category_table, result_tables
from shepherd.study.directory import Study
from shepherd.study.questions import Question
from shepherd.units import fixed, whole

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


def all_results(study: Study) -> list[JudgeResults]:
    """Return what every judge found, in every form and beside every reference it has judged."""
    return [
        judge_results(study, judge, reference or None, form)
        for judge in study.judges()
        for form, reference in dict.fromkeys((j.form, j.reference) for j in study.judgements(judge))
    ]


def judged_sections(study: Study, found: list[JudgeResults]) -> Iterator[Judged]:
    """Yield the sections of a study, of fewer questions first where the study asks for them."""
    counts, questions = study.about().get("counts", []), study.questions()
    for number, results in enumerate(found):
        record = read_record(study, results.judge)
        fewer = [
            judge_results(study, results.judge, results.reference or None, results.form, count=count)
            for count in counts
        ]
        spent = _spent(study, results.judge, record)
        for place, part in enumerate([*fewer, results]):
            tables = [*result_tables(part), *_other_groups(part, questions)]
            yield _section(part, tables, record, spent if part is results else [], f"{number}-{place}")


def _other_groups(results: JudgeResults, questions: Sequence[Question]) -> Iterator[Table]:
    """Yield the models by every other column that groups the questions: language, task, domain."""
    for by in columns_to_group_by(questions):
        found = group(questions, by)
        places = zip(questions, found.cell_of, strict=True)
        group_of = {question.id: found.cells[place] for question, place in places if place >= 0}
        yield category_table(regrouped(results, group_of), by=by)


def _section(
    results: JudgeResults, tables: list[Table], record: Record, spent: list[tuple[str, str]], name: str
) -> Judged:
    against = f", against {results.reference}" if results.reference else ""
    judged = max((model.questions for model in results.models), default=0)
    return Judged(
        heading=f"Judge {results.judge}{against}: {judged} questions",
        asked=f"The judge {record.model} {_FORMS[results.form]}{_how_often(results, record)}, "
        f"at temperature {record.temperature:g} or, where its server does not take one, its own.",
        notes=results.notes,
        tables=[(plain_words(table.title), grid(table)) for table in tables],
        pictures=list(_pictures(results, name)),
        spent=spent,
    )


def _how_often(results: JudgeResults, record: Record) -> str:
    """Say how often the judge was asked the same; several calls may have asked differently."""
    asked = [c for c in record.comparisons if (c.form, c.reference) == (results.form, results.reference)]
    asked = asked or [c for c in record.comparisons if c.form == results.form]
    times = " or ".join(str(number) for number in sorted({c.ratings for c in asked}))
    orders = {c.swap for c in asked}
    order = "" if results.form == "single" else ", in one order" if orders == {False} else ", in both orders"
    return f", {'once' if times == '1' else f'{times} times'}{order}"


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
