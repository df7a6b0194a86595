"""`shepherd study`: FedIT's whole study in one command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from shepherd.cli import terminal
from shepherd.cli.terminal import Overrides, say

if TYPE_CHECKING:
    from shepherd.judge.settings import JudgeSettings
    from shepherd.study.conduct import Conduct
    from shepherd.study.directory import Study


@terminal.app.command()
def study(
    config: Annotated[
        str, typer.Argument(metavar="STUDY", help="A study's preset, such as fedit, or a YAML file.")
    ],
    overrides: Overrides = None,
    also: Annotated[
        list[str] | None,
        typer.Option(help="Another model, e.g. chatgpt=endpoint:gpt-4o; all are judged against it too."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(envvar="SHEPHERD_JUDGE_MODEL", help="The judge at its endpoint; nobody judges without."),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(help="An OpenAI-compatible server; OPENAI_BASE_URL, or OpenAI itself, unless told."),
    ] = None,
    key_variable: Annotated[
        str, typer.Option(help="The environment variable with the key.")
    ] = "OPENAI_API_KEY",
    also_base_url: Annotated[
        str | None,
        typer.Option(help="The server of --also's endpoints; OPENAI_BASE_URL, or OpenAI, unless told."),
    ] = None,
    also_key_variable: Annotated[
        str, typer.Option(help="The environment variable with its key.")
    ] = "OPENAI_API_KEY",
    concurrency: Annotated[int, typer.Option(min=1, help="Calls under way at once.")] = 16,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for one reply.")] = 60,
    price_in: Annotated[float | None, typer.Option(help="USD per million tokens sent.")] = None,
    price_out: Annotated[float | None, typer.Option(help="USD per million tokens received.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Run and answer, but only say what the judge would cost.")
    ] = False,
) -> None:
    """Run a federation and its baselines, have them answer questions, have the answers judged, write the report.

    A study that was stopped goes on where it was, and nothing is paid twice.
    """
    from shepherd.cli.bars import AnswerBars
    from shepherd.config import load_config
    from shepherd.endpoint import EndpointSettings, check
    from shepherd.progress import RunProgress
    from shepherd.settings import checked
    from shepherd.study.asking import Asking
    from shepherd.study.conduct import Conduct
    from shepherd.study.config import load_study_config
    from shepherd.study.sources import find_sources

    asked = load_study_config(config)
    calls: dict[str, Any] = {"concurrency": concurrency, "timeout_s": timeout}
    prices = {"price_in": price_in, "price_out": price_out}
    judge = {"model": model, "base_url": base_url, "key_variable": key_variable, **calls, **prices}
    endpoint = checked(EndpointSettings, judge, "The judge cannot be asked like this") if model else None
    if endpoint is not None and not dry_run:
        check(endpoint)  # now, and not after hours of training
    asking = Asking(asked.decoding, base_url=also_base_url, key_variable=also_key_variable, **calls)
    conduct = Conduct(asked, load_config(asked.run, overrides or ()), find_sources(also or []), asking)
    sources = conduct.train(lambda label: RunProgress(terminal.out, label))
    for one in conduct.studies(sources):
        with AnswerBars(terminal.out) as progress:
            conduct.answer(one, sources, progress)
        _print_scores(one)
        if endpoint is not None:
            try:
                _judge(conduct, one, conduct.judge_settings(endpoint), dry_run)
            finally:  # what was judged before something went wrong can be read
                _write_report(one)
        else:
            _write_report(one)
    if endpoint is None:
        say("Nobody has judged the answers; name a judge with --model and give the command again.")


def _print_scores(study: Study) -> None:
    from shepherd.evaluation.scores import scores
    from shepherd.report.score_tables import overall_table

    found = scores(study)
    if found.metrics:
        terminal.out.print(overall_table(found))


def _judge(conduct: Conduct, study: Study, settings: JudgeSettings, dry_run: bool) -> None:
    from shepherd.cli.judging import ask_judge, print_outcome, print_plan, print_results
    from shepherd.judge.choosing import kinship
    from shepherd.judge.names import judge_name

    warning = kinship([study.card(label) for label in study.models()], settings.endpoint.model)
    if warning is not None:
        say(warning)
    name, wanted = judge_name(settings.endpoint.model, None), conduct.comparisons(study, settings)
    if dry_run:
        return print_plan(study, name, settings, wanted)
    outcome = ask_judge(study, name, settings, wanted)
    print_outcome(outcome, settings)
    for count in [*study.about()["counts"], None]:
        print_results(study, name, outcome, count=count)


def _write_report(study: Study) -> None:
    from shepherd.report.study_html import write_study_report

    say(f"The report is {write_study_report(study)}")
