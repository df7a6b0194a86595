"""`shepherd rate`: people rate answers without knowing whose they are, and are held against the judge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shepherd.cli import terminal
from shepherd.cli.options import DrawnCount, StudyOption
from shepherd.cli.terminal import say
from shepherd.errors import ShepherdError
from shepherd.units import counted

if TYPE_CHECKING:
    from shepherd.people.desk import Desk
    from shepherd.study.directory import Study


@terminal.app.command()
def rate(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN…", help="Models of the study, by label or path; all of them unless named."
        ),
    ] = None,
    study: StudyOption = None,
    against: Annotated[
        str | None, typer.Option(help="Show every answer beside this model's; by itself unless told.")
    ] = None,
    count: DrawnCount = None,
    rater: Annotated[
        str | None, typer.Option(help="The name the ratings are kept under; 'me' unless told.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides questions and order.")] = 0,
    page: Annotated[
        bool, typer.Option("--page", help="Rate in a page in the browser (the default).")
    ] = False,
    sheet: Annotated[bool, typer.Option("--sheet", help="Write a sheet to fill in a spreadsheet.")] = False,
    read: Annotated[Path | None, typer.Option(metavar="FILE", help="Take a filled sheet back.")] = None,
    agreement: Annotated[
        bool, typer.Option("--agreement", help="Print how far people and judge agree.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The page's port; any free one unless told.")
    ] = 0,
) -> None:
    """Rate answers as people do: without knowing whose they are, in a page or a spreadsheet.

    Ratings are kept in the study; --agreement says how far they agree with the judge and with one another.
    """
    from shepherd.study.directory import find_study

    if sum((page, sheet, read is not None, agreement)) > 1:
        raise ShepherdError(
            "Give one of --page, --sheet, --read and --agreement; they are done one after another."
        )
    found = find_study(study)
    if read is not None:
        _take_back(found, read, rater)
    elif agreement:
        _print_agreement(found)
    else:
        _hand_out(found, models, against, count, rater or "me", seed, None if sheet else port)


def _hand_out(
    study: Study,
    models: list[str] | None,
    against: str | None,
    count: int | None,
    rater: str,
    seed: int,
    port: int | None,
) -> None:
    from shepherd.people.desk import Desk
    from shepherd.people.exchange import hand_out
    from shepherd.people.items import Material, draw
    from shepherd.people.sheet import held, sheet_path

    labels = [study.model(name) for name in models] if models else study.models()
    reference = study.model(against) if against else ""
    with held(study, rater):
        material = Material(study)
        drawn = draw(material, labels, reference, count, seed, rater)
        if drawn.unanswered:
            say(f"{counted(drawn.unanswered, 'question')} left out, not answered by every model.")
        rows = hand_out(study, rater, drawn.items, material)
        desk = Desk(sheet_path(study, rater), rows, [item.id for item in drawn.items])
        if port is None:
            asked = "fill in scores, 1 to 10, and check it with --read."
            say(f"{desk.path} has {counted(len(rows), 'item')}: {asked}")
        else:
            _serve(desk, port)


def _serve(desk: Desk, port: int) -> None:
    from shepherd.people.page import RatingServer

    with RatingServer(desk, port) as server:
        say(f"Rate at {server.address}")
        say("Every rating is kept as it is made. Ctrl-C stops; the same command goes on.")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("")
    say(f"{desk.rated:,} of {counted(len(desk.shown), 'item')} rated, in {desk.path}.")


def _take_back(study: Study, file: Path, rater: str | None) -> None:
    from shepherd.people.exchange import take_back

    taken = take_back(study, file, rater)
    parts = [f"{counted(taken.rated, 'item')} rated", f"{taken.unrated} not rated"]
    parts += [f"{taken.begun} with one score of two, not counted"] if taken.begun else []
    say(f"{', '.join(parts)}; kept in {taken.path}")


def _print_agreement(study: Study) -> None:
    from shepherd.people.comparison import agreement
    from shepherd.report.people_tables import agreement_tables

    found = agreement(study)
    for table in agreement_tables(found):
        terminal.out.print(table)
    for note in found.notes:
        say(note)
