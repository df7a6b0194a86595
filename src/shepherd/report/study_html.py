"""The report of a study: one HTML file with every table, picture, question, answer and reason in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.table import Table

from shepherd.evaluation.group_scores import by_group
from shepherd.evaluation.groups import columns_to_group_by, group
from shepherd.evaluation.scores import Scores, scores
from shepherd.files import write_atomically
from shepherd.people.comparison import agreement
from shepherd.people.rating import ratings
from shepherd.report.drawing import drawn
from shepherd.report.grid import Grid, grid, plain_words
from shepherd.report.pages import page
from shepherd.report.people_tables import agreement_tables
from shepherd.report.score_figures import group_figure
from shepherd.report.score_tables import difference_table, group_table, overall_table
from shepherd.report.study_judged import all_results, judged_sections
from shepherd.report.study_questions import shown_questions
from shepherd.report.untuned import untuned_base
from shepherd.study.directory import Study
from shepherd.units import whole

_MOST_GROUPS = 60


def write_study_report(study: Study) -> Path:
    """Write `report.html` into a study's folder.

    Raises
    ------
    ShepherdError
        If the folder is no study, or a file in it is damaged.
    """
    path = study.path / "report.html"
    write_atomically(path, page("study.html.j2", **_content(study)))
    return path


def _content(study: Study) -> dict[str, Any]:
    about, found = study.about(), all_results(study)
    return {
        "title": study.path.resolve().name,
        "summary": _summary(study, about),
        "facts": _facts(study),
        "judges": list(judged_sections(study, found)),
        "people": _people(study),
        "scores": _scores(study),
        "categories": shown_questions(study, found),
        "models": [study.card(label) for label in study.models()],
        "prompts": list(_prompts(study)),
    }


def _summary(study: Study, about: dict[str, Any]) -> Iterator[str]:
    models = study.models()
    yield f"{len(models)} models answered {about['questions']} questions ({about['source']}): {', '.join(models)}."
    judges = study.judges()
    yield f"Judged by {', '.join(judges)}." if judges else "No judge has rated the answers yet."
    bases = {study.card(label).base_fingerprint for label in models} - {None}
    if len(bases) > 1:
        yield "The models are tuned from different bases."


def _facts(study: Study) -> list[tuple[str, str]]:
    questions = study.questions()
    people = {rating.rater for rating in ratings(study)}
    return [
        ("Questions", whole(len(questions))),
        ("With a reference", whole(sum(bool(question.references) for question in questions))),
        ("Kinds", whole(len({question.category for question in questions}))),
        ("Models", whole(len(study.models()))),
        ("Judges", whole(len(study.judges()))),
        ("People", whole(len(people))),
    ]


def _people(study: Study) -> list[tuple[str, Grid]]:
    return _grids(agreement_tables(agreement(study))) if ratings(study) else []


def _scores(study: Study) -> dict[str, Any] | None:
    found = scores(study)
    if not found.metrics:
        return None
    tables = [overall_table(found)]
    base = untuned_base([study.card(label) for label in study.models()])
    if base is not None:
        whose = f"{base.label} is the untuned base{f' {base.base}' if base.base else ''}."
        tables.append(difference_table(found, base.label, note=whose))
    pictures = []
    for place, by in enumerate(_columns(found)):
        grouping = group(found.questions, by)
        tables += [group_table(found, grouping, metric.name) for metric in found.metrics]
        shown = by_group(found, grouping, found.metrics[0].name)
        pictures.append(drawn(group_figure(shown), f"groups{place}", f"Every model's score by {by}."))
    return {"tables": _grids(tables), "pictures": pictures}


def _columns(found: Scores) -> Iterator[str]:
    """Yield what the questions are grouped by: the category and, where they say more, other columns."""
    if len({question.category for question in found.questions}) > 1:
        yield "category"
    yield from columns_to_group_by(found.questions)


def _grids(tables: list[Table]) -> list[tuple[str, Grid]]:
    return [(plain_words(table.title), grid(table, _MOST_GROUPS)) for table in tables]


def _prompts(study: Study) -> Iterator[tuple[str, str]]:
    for judge in study.judges():
        for path in sorted(study.judge_path(judge).glob("prompt-*.txt")):
            yield f"{judge}, {path.stem.removeprefix('prompt-')}", path.read_text(encoding="utf-8")
