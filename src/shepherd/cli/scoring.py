"""`shepherd score`: what answers are worth without a judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shepherd.cli import terminal
from shepherd.cli.options import FormOption, OutputOption, StudyOption
from shepherd.cli.showing import refuse_other_pictures, say_beside, show
from shepherd.errors import ShepherdError

if TYPE_CHECKING:
    from rich.table import Table

    from shepherd.evaluation.groups import Grouping
    from shepherd.evaluation.scores import Scores
    from shepherd.report.table_files import Document


@terminal.app.command()
def score(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL]…", help="Models of the study; all of them unless told."),
    ] = None,
    study: StudyOption = None,
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
    form: FormOption = None,
    output: OutputOption = None,
) -> None:
    """Score stored answers against the questions' references: ROUGE-L, exact match, token F1, loss."""
    from shepherd.evaluation.scores import scores
    from shepherd.report.table_files import form_of
    from shepherd.study.directory import find_study

    form = form_of(form, output)
    if figure is not None and by is None:
        raise ShepherdError("--figure draws groups; say by what with --by, such as --by category.")
    refuse_other_pictures(figure)
    found_study = find_study(study)
    labels = [found_study.model(name) for name in models or found_study.models()]
    reference = found_study.model(against) if against else None
    if reference and reference not in labels:
        labels.append(reference)
    found = scores(found_study, labels)
    grouping = _grouping(found_study.path, labels, found, by, run) if by else None
    shown = _metric(found, metric) if grouping or metric else ""
    made = partial(_tables, found, grouping, reference, shown)
    document = partial(_document, found, grouping, reference, made)
    show(form, output, "The scores are", made, document)
    if figure is not None and grouping is not None:
        _draw(found, grouping, reference, shown, figure)
        say_beside(form, output, f"The picture is {figure}")


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


def _document(
    found: Scores, grouping: Grouping | None, against: str | None, tables: Callable[[], Iterator[Table]]
) -> Document:
    from shepherd.report.score_tables import to_csv
    from shepherd.report.table_files import Document

    return Document("Scores without a judge", list(tables()), to_csv(found, grouping, against))


def _tables(found: Scores, grouping: Grouping | None, against: str | None, metric: str) -> Iterator[Table]:
    """Yield what is shown."""
    from shepherd.report.score_tables import difference_table, group_table, overall_table

    yield overall_table(found)
    if against:
        yield difference_table(found, against)
    if grouping:
        yield group_table(found, grouping, metric)
        if against:
            yield group_table(found, grouping, metric, against)


def _draw(found: Scores, grouping: Grouping, against: str | None, metric: str, path: Path) -> None:
    from shepherd.evaluation.group_scores import by_group
    from shepherd.report.score_figures import write_group_figure

    shown = found.against(against) if against else found
    write_group_figure(by_group(shown, grouping, metric), path, against)
