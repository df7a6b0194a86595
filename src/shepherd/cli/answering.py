"""`shepherd answer`: models answer the questions of a study."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shepherd.cli import terminal
from shepherd.cli.options import (
    BaseUrl,
    Concurrency,
    KeyVariable,
    MaxNewTokens,
    PromptOption,
    Temperature,
    Timeout,
    TopK,
    TopP,
)
from shepherd.cli.terminal import say
from shepherd.errors import ShepherdError

if TYPE_CHECKING:
    from shepherd.evaluation.decoding import DecodingSettings
    from shepherd.study.answering import Answered
    from shepherd.study.directory import Study


_Asked = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN…",
        help="Run or baseline directories, PEFT adapters, models, or endpoint:MODEL; label=… names one.",
    ),
]


@terminal.app.command()
def answer(
    runs: _Asked,
    questions: Annotated[
        str | None,
        typer.Option(
            help="A file, vicuna, or holdout: the runs' own. Not needed again for the same --study."
        ),
    ] = None,
    columns: Annotated[
        list[str] | None, typer.Option(help="PART=COLUMN of the file, e.g. instruction=question.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Ask this many, balanced over categories.")] = None,
    study: Annotated[
        Path | None, typer.Option(help="The study's folder; in studies/, by the questions, unless told.")
    ] = None,
    with_baselines: Annotated[
        bool, typer.Option("--with-baselines", help="Ask every finished baseline of the runs too.")
    ] = False,
    prompt: PromptOption = "alpaca",
    max_new_tokens: MaxNewTokens = 128,
    temperature: Temperature = 0.0,
    top_p: TopP = None,
    top_k: TopK = None,
    repetition_penalty: Annotated[float, typer.Option(help="Above 1: repeat less.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="What --count and drawn answers depend on.")] = 0,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Answers generated at once; by the device unless told.")
    ] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Throw these models' earlier answers away.")] = False,
    base_url: BaseUrl = None,
    key_variable: KeyVariable = "OPENAI_API_KEY",
    concurrency: Concurrency = 16,
    timeout: Timeout = 60,
) -> None:
    """Have runs, baselines, adapters, models and endpoints answer the same questions.

    Answers are kept as they come: a command that was stopped goes on with what is missing.
    """
    from shepherd.cli.bars import AnswerBars
    from shepherd.study.asking import Asking
    from shepherd.study.posing import begin_study
    from shepherd.study.sources import find_sources

    decoding = _decoding(
        max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, top_k=top_k,
        repetition_penalty=repetition_penalty, seed=seed,
    )  # fmt: skip
    sources = find_sources(runs, with_baselines)
    asking = Asking(decoding, prompt, batch_size, anew, base_url, key_variable, concurrency, timeout)
    asking.check(sources)
    begun = begin_study(study, questions, sources, _columns(columns or []), count, seed)
    with begun.held(), AnswerBars(terminal.out) as progress:
        answered = asking.ask(begun, sources, progress)
    _print_answered(begun, answered)


def _decoding(**values: Any) -> DecodingSettings:
    from shepherd.evaluation.decoding import DecodingSettings
    from shepherd.settings import checked

    if values["temperature"] == 0 and (values["top_p"] is not None or values["top_k"] is not None):
        raise ShepherdError("--top-p and --top-k say what to draw from; add a --temperature above 0.")
    return checked(DecodingSettings, values, "Answers cannot be generated like this")


def _columns(texts: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    for part, equals, column in pairs:
        if not (part and equals and column):
            raise ShepherdError(
                f"--columns takes PART=COLUMN, e.g. instruction=question, not '{part}{equals}{column}'."
            )
    return {part: column for part, _, column in pairs}


def _print_answered(study: Study, answered: Sequence[Answered]) -> None:
    from rich.table import Table

    from shepherd.units import duration, fixed, whole

    table = Table("model", "answered", "mean words", "cut", "time")
    for column in table.columns[1:]:
        column.justify = "right"
    for found in answered:
        told = f"{whole(len(found.answers))} of {whole(found.questions)}"
        table.add_row(found.label, told, fixed(found.words, 1), whole(found.cut), duration(found.seconds))
    terminal.out.print(table)
    cards = map(study.card, study.models())
    bases = {card.base_fingerprint: str(card.base) for card in cards if card.base_fingerprint}
    if len(bases) > 1:
        say(
            f"The models are not all tuned from one base ({', '.join(bases.values())}); that is part of any difference."
        )
    say(f"The answers are in {study.path}; {_judging(study, answered[0].label)} has them judged.")


def _judging(study: Study, first: str) -> str:
    """Return a whole command that has the answers judged: against the untuned model, or else the first one asked."""
    from shepherd.baselines import UNTUNED

    labels = study.models()
    untuned = next((label for label in labels if label.rpartition("/")[2] == UNTUNED), first)
    # Who has nobody to stand beside is rated alone.
    how = ["--against", untuned] if len(labels) > 1 else ["--form", "single"]
    return f"`{shlex.join(['shepherd', 'judge', '--study', str(study.path), *how, '--model', 'JUDGE'])}`"
