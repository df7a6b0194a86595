"""`shepherd judge`: a judge model's ratings of what the models of a study answered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from shepherd.cli import terminal
from shepherd.cli.judge_options import (
    Against,
    AnsweredOnly,
    DrawSeed,
    DryRun,
    FormOfJudging,
    Judged,
    JudgeName,
    JudgeTemperature,
    MaxTokens,
    OneOrder,
    OwnPrompt,
    Ratings,
    Recompute,
    Retries,
)
from shepherd.cli.options import (
    BaseUrl,
    Concurrency,
    DrawnCount,
    JudgeModel,
    KeyVariable,
    PriceIn,
    PriceOut,
    StudyOption,
    Timeout,
)
from shepherd.cli.showing import print_tables
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
    models: Judged = None,
    against: Against = None,
    model: JudgeModel = None,
    study: StudyOption = None,
    base_url: BaseUrl = None,
    key_variable: KeyVariable = "OPENAI_API_KEY",
    form: FormOfJudging = "scores",
    ratings: Ratings = 3,
    retries: Retries = 2,
    one_order: OneOrder = False,
    prompt: OwnPrompt = None,
    count: DrawnCount = None,
    seed: DrawSeed = 0,
    temperature: JudgeTemperature = 0.2,
    max_tokens: MaxTokens = 1024,
    concurrency: Concurrency = 16,
    timeout: Timeout = 60,
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    judge_name: JudgeName = None,
    answered_only: AnsweredOnly = False,
    dry_run: DryRun = False,
    recompute: Recompute = False,
) -> None:
    """Have a judge model rate answers, each beside the reference's.

    Every reply is kept as it comes: a command that was stopped goes on where it was, and nothing is paid twice.
    """
    from shepherd.judge.choosing import comparisons
    from shepherd.study.directory import find_study

    where = find_study(study)
    if recompute:
        return _recompute(where, _known_judge(where, model, judge_name))
    endpoint = {
        "model": _named(model), "base_url": base_url, "key_variable": key_variable, "temperature": temperature,
        "max_tokens": max_tokens, "concurrency": concurrency, "timeout_s": timeout, "price_in": price_in,
        "price_out": price_out,
    }  # fmt: skip
    settings = _settings(
        endpoint=endpoint, form=form, ratings=ratings, retries=retries, swap=not one_order, prompt=prompt
    )
    reference = where.model(against) if against is not None else None
    labels = _models(where, models or [], reference, settings)
    wanted = comparisons(where, labels, reference, _question_ids(where, count, seed), settings, answered_only)
    name = folder_name(settings.endpoint.model, judge_name)
    if dry_run:
        return print_plan(where, name, settings, wanted)
    outcome = ask_judge(where, name, settings, wanted)
    print_outcome(outcome, settings)
    print_results(where, name, outcome, reference, count, seed)
    terminal.say(f"`shepherd report {where.path}` writes it all, with the judge's reasons, into one page.")


def _settings(prompt: Path | None, **values: Any) -> JudgeSettings:
    from shepherd.judge.settings import JudgeSettings

    own = {**values, "prompt": str(prompt) if prompt else None}
    return checked(JudgeSettings, own, "The judge cannot be asked like this")


def _named(model: str | None) -> str:
    if not model:
        raise ShepherdError("Say who judges: --model NAME, or the environment variable SHEPHERD_JUDGE_MODEL.")
    return model


def _known_judge(study: Study, model: str | None, name: str | None) -> str:
    """Return the judge whose replies are to be read again: the one named, or the only one there is."""
    if name is not None or model:
        return folder_name(model or "", name)
    judges = study.asked_judges()
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
    from shepherd.units import counted

    outcome = judging.recompute(study, name)
    read = f"{counted(len(outcome.judgements), 'judgement')} of {name}"
    were = "was" if len(outcome.judgements) == 1 else "were"
    terminal.say(f"{read} {were} read again from its stored replies.")
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
        print_tables(result_tables(results))
        for note in results.notes:
            terminal.say(note)
