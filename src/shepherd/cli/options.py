"""The arguments and options that several commands have: one name, one meaning, one help text.

A command gives the default. What one command alone has is declared there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

# Configs and runs.
ConfigArgument = Annotated[str, typer.Argument(metavar="CONFIG", help="A preset's name or a YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="key=value…", help="Changes to the config, e.g. training.lr=1e-3."),
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory, e.g. runs/quickstart.")]

# Studies.
StudyOption = Annotated[
    Path | None, typer.Option(help="The study's folder; the only one in studies/ unless told.")
]
DrawnCount = Annotated[int | None, typer.Option(min=1, help="Draw this many questions; all unless told.")]

# Tables.
FormOption = Annotated[
    str | None,
    typer.Option("--format", help="table, markdown, csv, latex or html; by --output's ending unless told."),
]
OutputOption = Annotated[Path | None, typer.Option(help="The file to write instead of printing.")]

# How models answer.
PromptOption = Annotated[
    str,
    typer.Option(help="Of adapters and plain models, as runs have their own: alpaca, plain, chat or a file."),
]
MaxNewTokens = Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")]
Temperature = Annotated[float, typer.Option(min=0, help="0 is greedy; above, answers are drawn.")]
TopP = Annotated[
    float | None, typer.Option(help="Draw from the likeliest tokens that have this probability together.")
]
TopK = Annotated[int | None, typer.Option(min=1, help="Draw from so many of the likeliest tokens.")]

# How models behind an OpenAI-compatible server are asked.
JudgeModel = Annotated[
    str | None,
    typer.Option(
        envvar="SHEPHERD_JUDGE_MODEL", help="The judge's name at its endpoint; nobody judges without one."
    ),
]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        help="The endpoint, an OpenAI-compatible server; OPENAI_BASE_URL, or OpenAI itself, unless told."
    ),
]
KeyVariable = Annotated[str, typer.Option(help="The environment variable with the endpoint's key.")]
Concurrency = Annotated[int, typer.Option(min=1, help="Calls of an endpoint under way at once.")]
Timeout = Annotated[float, typer.Option(help="Seconds to wait for one reply of an endpoint.")]
PriceIn = Annotated[float | None, typer.Option(help="USD per million tokens sent.")]
PriceOut = Annotated[float | None, typer.Option(help="USD per million tokens received.")]
