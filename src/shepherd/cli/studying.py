"""`shepherd study`: FedIT's whole study in one command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from shepherd.cli import terminal
from shepherd.cli.options import BaseUrl, Overrides, PriceIn, PriceOut
from shepherd.cli.terminal import say

if TYPE_CHECKING:
    from shepherd.judge.settings import JudgeSettings
    from shepherd.study.conduct import Conduct
    from shepherd.study.config import StudyConfig
    from shepherd.study.directory import Study

# A study's file may say all of this of its judge, so none of it has a default here.
_JudgeModel = Annotated[
    str | None,
    typer.Option(
        envvar="SHEPHERD_JUDGE_MODEL",
        help="The judge's name at its endpoint; the study's own judge, if it has one, unless told.",
    ),
]
_KeyVariable = Annotated[
    str | None,
    typer.Option(help="The environment variable with the judge's key; OPENAI_API_KEY unless told."),
]
_Concurrency = Annotated[
    int | None, typer.Option(min=1, help="Calls of an endpoint under way at once; 16 unless told.")
]
_Timeout = Annotated[
    float | None, typer.Option(help="Seconds to wait for one reply of an endpoint; 60 unless told.")
]


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
    model: _JudgeModel = None,
    base_url: BaseUrl = None,
    key_variable: _KeyVariable = None,
    also_base_url: Annotated[
        str | None,
        typer.Option(help="The server of --also's endpoints; OPENAI_BASE_URL, or OpenAI, unless told."),
    ] = None,
    also_key_variable: Annotated[
        str, typer.Option(help="The environment variable with its key.")
    ] = "OPENAI_API_KEY",
    concurrency: _Concurrency = None,
    timeout: _Timeout = None,
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Run and answer, but only say what the judge would cost.")
    ] = False,
) -> None:
    """Run a federation and its baselines, have them answer questions, have the answers judged, write the report.

    A study that was stopped goes on where it was, and nothing is paid twice.
    """
    from shepherd.config import load_config
    from shepherd.study.asking import Asking
    from shepherd.study.conduct import Conduct
    from shepherd.study.config import load_study_config
    from shepherd.study.sources import find_sources

    asked = load_study_config(config)
    calls = {"concurrency": concurrency, "timeout_s": timeout}
    prices = {"price_in": price_in, "price_out": price_out}
    said = {"model": model or None, "base_url": base_url, "key_variable": key_variable, **calls, **prices}
    judge = _judge_of(asked, said, dry_run)
    told: dict[str, Any] = {name: value for name, value in calls.items() if value is not None}
    asking = Asking(asked.decoding, base_url=also_base_url, key_variable=also_key_variable, **told)
    conduct = Conduct(asked, load_config(asked.run, overrides or ()), find_sources(also or []), asking)
    _conduct(conduct, judge, dry_run)
    if judge is None:
        say("Nobody has judged the answers; name a judge with --model and give the command again.")


def _judge_of(config: StudyConfig, said: dict[str, Any], dry_run: bool) -> JudgeSettings | None:
    """Return the study's judge, if it has one that can be asked: now, and not after hours of training."""
    from shepherd.endpoint import check
    from shepherd.judge.judging import prompt_of
    from shepherd.study.config import judge_settings

    judge = judge_settings(config, said)
    if judge is not None:
        prompt_of(judge)  # one's own may not be there
        if not dry_run:
            check(judge.endpoint)
    return judge


def _conduct(conduct: Conduct, judge: JudgeSettings | None, dry_run: bool) -> None:
    """Do all of it: train; then, of every set of questions, answers, judgements if there is a judge, and report."""
    from shepherd.cli.bars import AnswerBars
    from shepherd.progress import RunProgress

    sources = conduct.train(lambda label: RunProgress(terminal.out, label))
    for one in conduct.studies(sources):
        with AnswerBars(terminal.out) as progress:
            conduct.answer(one, sources, progress)
        _print_scores(one)
        try:
            if judge is not None:
                _judge(conduct, one, judge, dry_run)
        finally:  # what was judged before something went wrong can be read
            _write_report(one)


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
