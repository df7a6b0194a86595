"""`shepherd harness`: tasks of the lm-evaluation-harness on runs."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shepherd.cli import terminal
from shepherd.errors import ShepherdError

if TYPE_CHECKING:
    from shepherd.evaluation.harness_tasks import TaskFile
    from shepherd.report.harness_table import Results


@terminal.app.command()
def harness(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN…", help="Runs, baselines, PEFT adapters or models; label=… names one."),
    ],
    tasks: Annotated[str, typer.Option(help="Tasks of lm-eval by name, separated by commas.")] = "",
    task_file: Annotated[
        list[Path] | None,
        typer.Option(help="Rows with question, choices and answer, or question and answer; several times."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The first rows of every task only.")] = None,
    shots: Annotated[int | None, typer.Option(min=0, help="Examples shown before every question.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Sequences at once.")] = 16,
    max_new_tokens: Annotated[
        int, typer.Option(min=1, help="Longest free answer to a file's question.")
    ] = 128,
    plain: Annotated[
        bool, typer.Option("--plain", help="A file's questions without the run's prompt.")
    ] = False,
    prompt: Annotated[
        str, typer.Option(help="Of adapters and plain models: alpaca, plain, chat or a file.")
    ] = "alpaca",
    form: Annotated[
        str | None,
        typer.Option(
            "--format", help="table, markdown, csv, latex or html; by --output's ending unless told."
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="The file to write instead of printing.")] = None,
) -> None:
    """Do tasks of the lm-evaluation-harness; what is done is kept in harness.json and not done again."""
    from shepherd.evaluation.harness import examine
    from shepherd.evaluation.lm_evaluation import HarnessSettings, check_names, require_lm_eval
    from shepherd.report.table_files import form_of
    from shepherd.study.bases import LoadedBase
    from shepherd.study.respondents import open_respondent
    from shepherd.study.sources import find_sources

    form = form_of(form, output)
    sources = find_sources(runs)
    names, files = _asked(tasks, task_file or [])
    require_lm_eval()
    index = check_names(names) if names else None
    settings = HarnessSettings(
        limit=limit, shots=shots, batch_size=batch_size, max_new_tokens=max_new_tokens, plain=plain
    )
    results, loaded = {}, LoadedBase()
    for source in sources:
        model = open_respondent(source, prompt=prompt, loaded=loaded)
        told = partial(_say_begun, source.label)
        results[source.label] = examine(model, [*names, *files], settings, index, told)
    _show(results, form, output)


def _asked(tasks: str, paths: list[Path]) -> tuple[list[str], list[TaskFile]]:
    from shepherd.evaluation.harness_tasks import read_task

    names = list(dict.fromkeys(name.strip() for name in tasks.split(",") if name.strip()))
    files = [read_task(path) for path in paths]
    called = [*names, *(file.name for file in files)]
    if not called:
        raise ShepherdError("Say what to do: --tasks arc_easy,… or --task-file FILE.jsonl.")
    twice = sorted({name for name in called if called.count(name) > 1})
    if twice:
        raise ShepherdError(f"Two tasks are called '{twice[0]}'; rename a file.")
    return names, files


def _say_begun(label: str, task: str) -> None:
    terminal.err.print(f"{label}: {task} …", highlight=False, markup=False, soft_wrap=True)


def _show(results: Results, form: str, output: Path | None) -> None:
    from shepherd.report.harness_table import harness_table, to_csv
    from shepherd.report.table_files import Document, write_document

    table = harness_table(results)
    document = Document("lm-evaluation-harness", [table], to_csv(results))
    if output is not None:
        write_document(document, form, output)
        terminal.say(f"The results are in {output}")
    elif form == "table":
        terminal.out.print(table)
    else:
        sys.stdout.write(document.written(form))
