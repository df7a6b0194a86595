"""`shepherd judge`: a judge model's ratings of what the models of a study answered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shepherd.cli import terminal
from shepherd.errors import ShepherdError
from shepherd.judge.judgement import Form
from shepherd.judge.names import judge_name as folder_name
from shepherd.settings import checked

if TYPE_CHECKING:
    from shepherd.judge.comparisons import Comparison
    from shepherd.judge.judging import Outcome
    from shepherd.judge.settings import JudgeSettings
    from shepherd.study.directory import Study


@terminal.app.command()
def judge(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]…", help="Whose answers to judge; all but the reference's unless told."
        ),
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="The reference whose answers stand beside theirs.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(envvar="SHEPHERD_JUDGE_MODEL", help="The judge's name at its endpoint.")
    ] = None,
    study: Annotated[
        Path | None, typer.Option(help="The study; the only one in studies/ unless told.")
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(help="An OpenAI-compatible server; OPENAI_BASE_URL, or OpenAI itself, unless told."),
    ] = None,
    key_variable: Annotated[
        str, typer.Option(help="The environment variable with the key.")
    ] = "OPENAI_API_KEY",
    form: Annotated[
        Form, typer.Option(help="1 to 10 for both, which is better, or 1 to 10 for one at a time.")
    ] = "scores",
    ratings: Annotated[int, typer.Option(min=1, help="How often the same is asked, in each order.")] = 3,
    one_order: Annotated[
        bool,
        typer.Option("--one-order", help="Show the model first, always; both orders are asked unless told."),
    ] = False,
    prompt: Annotated[Path | None, typer.Option(help="A file with your own prompt.")] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="Draw this many questions; all unless told.")
    ] = None,
    seed: Annotated[int, typer.Option(help="What --count draws by; more questions include fewer.")] = 0,
    temperature: Annotated[
        float, typer.Option(help="Above 0, so that several ratings are more than one.")
    ] = 0.2,
    max_tokens: Annotated[int, typer.Option(help="Most tokens of a reply.")] = 1024,
    concurrency: Annotated[int, typer.Option(help="Calls under way at once.")] = 16,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for one reply.")] = 60,
    price_in: Annotated[float | None, typer.Option(help="USD per million tokens sent.")] = None,
    price_out: Annotated[float | None, typer.Option(help="USD per million tokens received.")] = None,
    judge_name: Annotated[
        str | None, typer.Option(help="The judge's folder; by its model unless told.")
    ] = None,
    answered_only: Annotated[
        bool, typer.Option("--answered-only", help="Leave out questions that are not answered yet.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would cost; nothing is asked, and no key needed.")
    ] = False,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Read the stored replies again; nothing is asked.")
    ] = False,
) -> None:
    """Have a judge model rate answers, each beside the reference's.

    Every reply is kept as it comes: a command that was stopped goes on where it was, and nothing is paid twice.
    """
    from shepherd.judge.choosing import comparisons
    from shepherd.judge.settings import JudgeSettings
    from shepherd.study.directory import find_study

    where = find_study(study)
    if recompute:
        return _recompute(where, _known_judge(where, model, judge_name))
    endpoint = {
        "model": _named(model),
        "base_url": base_url,
        "key_variable": key_variable,
        "temperature": temperature,
        "max_tokens": max_tokens,
        "concurrency": concurrency,
        "timeout_s": timeout,
        "price_in": price_in,
        "price_out": price_out,
    }
    values = {
        "endpoint": endpoint,
        "form": form,
        "ratings": ratings,
        "swap": not one_order,
        "prompt": str(prompt) if prompt else None,
    }
    settings = checked(JudgeSettings, values, "The judge cannot be asked like this")
    reference = where.model(against) if against is not None else None
    labels = _models(where, models or [], reference, settings)
    wanted = comparisons(where, labels, reference, _question_ids(where, count, seed), settings, answered_only)
    name = folder_name(settings.endpoint.model, judge_name)
    if dry_run:
        print_plan(where, name, settings, wanted)
    else:
        outcome = ask_judge(where, name, settings, wanted)
        print_outcome(outcome, settings)
        print_results(where, name, outcome, reference, count, seed)
        terminal.say(
            f"`shepherd report {where.path}` writes it all, with the judge's reasons, into one page."
        )


def _named(model: str | None) -> str:
    if not model:
        raise ShepherdError("Say who judges: --model NAME, or the environment variable SHEPHERD_JUDGE_MODEL.")
    return model


def _known_judge(study: Study, model: str | None, name: str | None) -> str:
    """Return the judge whose replies are to be read again: the one named, or the only one there is."""
    if name is not None or model:
        return folder_name(model or "", name)
    judges = study.judges()
    if not judges:
        raise ShepherdError(f"{study.path} has no judge yet; there is nothing to read again.")
    if len(judges) > 1:
        raise ShepherdError(f"Say whose replies are to be read again: --judge-name {' or '.join(judges)}.")
    return judges[0]


def _question_ids(study: Study, count: int | None, seed: int) -> list[str]:
    questions = study.questions()
    if count is not None:
        from shepherd.study.questions import drawn

        questions = drawn(questions, count, seed)
    return [question.id for question in questions]


def _models(study: Study, names: list[str], reference: str | None, settings: JudgeSettings) -> list[str]:
    """Return whom to judge, having said whether the judge is of their family."""
    from shepherd.judge.choosing import chosen_models, kinship

    labels = chosen_models(study, names, reference)
    shown = [study.card(label) for label in (*labels, reference) if label is not None]
    warning = kinship(shown, settings.endpoint.model)
    if warning is not None:
        terminal.say(warning)
    return labels


def print_plan(study: Study, name: str, settings: JudgeSettings, wanted: list[Comparison]) -> None:
    """Print what asking would cost; nothing is asked."""
    from shepherd.judge.judging import plan
    from shepherd.judge.sentences import of_plan

    terminal.say(of_plan(plan(study, name, settings, wanted), settings.retries))


def ask_judge(study: Study, name: str, settings: JudgeSettings, wanted: list[Comparison]) -> Outcome:
    """Ask the judge, with a bar; see `shepherd.judge.judging.judge`."""
    from shepherd.cli.bars import JudgeBar
    from shepherd.judge import judging

    with JudgeBar(terminal.out, name) as progress:
        return judging.judge(study, name, settings, wanted, progress)


def _recompute(study: Study, name: str) -> None:
    from shepherd.judge import judging
    from shepherd.judge.record import read_record
    from shepherd.judge.sentences import of_outcome

    outcome = judging.recompute(study, name)
    terminal.say(f"{len(outcome.judgements):,} judgements of {name} were read again from its stored replies.")
    for sentence in of_outcome(outcome, read_record(study, name).retries):
        terminal.say(sentence)
    print_results(study, name, outcome)


def print_outcome(outcome: Outcome, settings: JudgeSettings) -> None:
    """Print what was spent, and what could not be read."""
    from shepherd.endpoint import cost
    from shepherd.judge.sentences import of_outcome, of_spent

    terminal.say(of_spent(cost(outcome.replies, settings.endpoint)))
    for sentence in of_outcome(outcome, settings.retries):
        terminal.say(sentence)


def print_results(
    study: Study,
    name: str,
    outcome: Outcome,
    graded: str | None = None,
    count: int | None = None,
    seed: int = 0,
) -> None:
    """Print what the judgements of every form and reference come to.

    Parameters
    ----------
    study : Study
        The study.
    name : str
        The judge's folder.
    outcome : Outcome
        The judgements.
    graded : str, optional
        The model with whose single grades the others' are compared.
    count, seed : int, optional
        Which questions: as many as were drawn by this seed, or all.
    """
    from shepherd.judge.results import judge_results
    from shepherd.report.judge_tables import result_tables

    judged: dict[tuple[Form, str | None], dict[str, None]] = {}
    for judgement in outcome.judgements:
        judged.setdefault((judgement.form, judgement.reference or graded), {})[judgement.model] = None
    for (form, reference), labels in judged.items():
        models = [label for label in labels if label != reference]
        results = judge_results(study, name, reference, form, models, count, seed)
        for table in result_tables(results):
            terminal.out.print(table)
        for note in results.notes:
            terminal.say(note)
