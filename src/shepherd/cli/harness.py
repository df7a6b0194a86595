"""`shepherd harness`: tasks of the lm-evaluation-harness on runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shepherd.cli import terminal
from shepherd.cli.options import FormOption, OutputOption, PromptOption
from shepherd.cli.showing import show
from shepherd.errors import ShepherdError

if TYPE_CHECKING:
    from shepherd.evaluation.harness_tasks import TaskFile
    from shepherd.report.harness_table import Results
    from shepherd.study.sources import Source


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
    prompt: PromptOption = "alpaca",
    form: FormOption = None,
    output: OutputOption = None,
) -> None:
    """Do tasks of the lm-evaluation-harness; a run keeps its results in RUN/harness.json.

    What is kept there is not done again. Results of adapters and plain models are only shown.
    """
    from shepherd.evaluation.harness import check_shots, examine
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
    check_shots(files, settings)
    results, loaded = {}, LoadedBase()
    for source in sources:
        model = open_respondent(source, prompt=prompt, loaded=loaded)
        told = partial(_say_begun, source.label)
        results[source.label] = examine(model, [*names, *files], settings, index, told)
    _show(results, form, output)
    _say_kept(sources)


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
    from shepherd.report.table_files import Document

    table = harness_table(results)
    document = partial(Document, "lm-evaluation-harness", [table], to_csv(results))
    show(form, output, "The results are", lambda: [table], document)


def _say_kept(sources: Sequence[Source]) -> None:
    """Say where the results stay; beside standard output, which may be a table for a program to read."""
    kept = [str(Path(source.place) / "harness.json") for source in sources if source.kind == "run"]
    if kept:
        sentence = f"Kept in {', '.join(kept)}: what is there is not done again."
        terminal.err.print(sentence, highlight=False, markup=False, soft_wrap=True)
