"""`shepherd score`: what answers are worth without a judge."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shepherd.cli import terminal
from shepherd.errors import ShepherdError

if TYPE_CHECKING:
    from rich.table import Table

    from shepherd.evaluation.groups import Grouping
    from shepherd.evaluation.scores import Scores


@terminal.app.command()
def score(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL]…", help="Models of the study; all of them unless told."),
    ] = None,
    study: Annotated[Path | None, typer.Option(help="The study's folder; the only one unless told.")] = None,
    against: Annotated[
        str | None, typer.Option(help="Show paired differences to this model, such as the untuned base.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(help="Group by category, a column of the questions such as language, client, or seen."),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="By group, show rouge_l, exact_match, token_f1 or loss.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="By client or seen: the run that says who trained on what.")
    ] = None,
    figure: Annotated[Path | None, typer.Option(help="With --by: draw the groups, as .png or .svg.")] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format", help="table, markdown, csv, latex or html; by --output's ending unless told."
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="The file to write instead of printing.")] = None,
) -> None:
    """Score stored answers against the questions' references: ROUGE-L, exact match, token F1, loss."""
    from shepherd.evaluation.scores import scores
    from shepherd.report.table_files import form_of
    from shepherd.study.directory import find_study

    form = form_of(form, output)
    found_study = find_study(study)
    labels = [found_study.model(name) for name in models or found_study.models()]
    reference = found_study.model(against) if against else None
    if reference and reference not in labels:
        labels.append(reference)
    found = scores(found_study, labels)
    grouping = _grouping(found_study.path, labels, found, by, run) if by else None
    shown = _metric(found, metric) if grouping or metric else ""
    _say(found, grouping, reference, shown, form, output)
    if figure is not None:
        _draw(found, grouping, reference, shown, figure)


def _grouping(study: Path, labels: list[str], found: Scores, by: str, run: Path | None) -> Grouping:
    from shepherd.evaluation.groups import BY_RUN, allocation, group
    from shepherd.study.directory import Study

    trained = allocation(Study(study), labels, run) if by in BY_RUN else None
    return group(found.questions, by, trained)


def _metric(found: Scores, asked: str | None) -> str:
    from shepherd.evaluation.measured import METRICS
    from shepherd.settings import nearest

    known = [metric.name for metric in found.metrics]
    if asked is not None and asked not in METRICS:
        raise ShepherdError(f"There is no metric '{asked}'{nearest(asked, list(METRICS))}.")
    if asked is not None and asked not in known:
        raise ShepherdError(f"No answer here has a {asked}; it needs questions with references.")
    if not known:
        raise ShepherdError(
            "The questions have no references to score answers against; use `shepherd judge`."
        )
    return asked or known[0]


def _say(
    found: Scores, grouping: Grouping | None, against: str | None, metric: str, form: str, output: Path | None
) -> None:
    from shepherd.report.score_tables import to_csv
    from shepherd.report.table_files import Document, write_document

    if output is None and form == "table":
        terminal.out.print(*_tables(found, grouping, against, metric, 5))
        return
    tables = list(_tables(found, grouping, against, metric, None))
    document = Document("Scores without a judge", tables, to_csv(found, grouping, against))
    if output is None:
        sys.stdout.write(document.written(form))
    else:
        write_document(document, form, output)
        terminal.say(f"The scores are in {output}")


def _tables(
    found: Scores, grouping: Grouping | None, against: str | None, metric: str, most: int | None
) -> Iterator[Table]:
    from shepherd.report.score_tables import difference_table, group_table, overall_table

    yield overall_table(found)
    if against:
        yield difference_table(found, against)
    if grouping:
        yield group_table(found, grouping, metric, most=most)
        if against:
            yield group_table(found, grouping, metric, against, most)


def _draw(found: Scores, grouping: Grouping | None, against: str | None, metric: str, path: Path) -> None:
    from shepherd.evaluation.group_scores import by_group
    from shepherd.report.score_figures import write_group_figure

    if grouping is None:
        raise ShepherdError("--figure draws groups; say by what with --by, such as --by category.")
    shown = found.against(against) if against else found
    write_group_figure(by_group(shown, grouping, metric), path, against)
    terminal.say(f"The picture is {path}")
