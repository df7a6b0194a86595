"""The questions that a run held out, dealt again from its config."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from shepherd.errors import ShepherdError
from shepherd.run_files import read_environment
from shepherd.study.directory import Study
from shepherd.study.questions import Question, questions_of

if TYPE_CHECKING:
    from shepherd.config import RunConfig

HOLDOUT = "holdout"

_PARTS = {"instruction": "instruction", "context": "context", "response": "responses", "category": "category"}


def holdout_questions(runs: Sequence[Path]) -> list[Question]:
    """Return the questions that all these runs (or baselines) held out.

    Raises
    ------
    ShepherdError
        If there is no run, they hold out different questions, or the data has changed since.
    """
    from shepherd.preparation import deal
    from shepherd.runs import load_run

    if not runs:
        raise ShepherdError("--questions holdout asks what a run held out, so name at least one run.")
    check_same_holdout(runs)
    held_out = deal(load_run(runs[0]).config).test
    if held_out.fingerprint() != holdout_fingerprint(runs[0]):
        raise ShepherdError(
            f"The data of {runs[0]} is not what it was when the run was made, so its hold-out cannot be made again; "
            "bring the old data back, or give --questions a file."
        )
    rows = [row for batch in held_out.batches() for row in _rows(batch)]
    places = [f"{runs[0]}, held-out question {number}" for number in range(1, len(rows) + 1)]
    return questions_of(rows, _PARTS, str(runs[0]), places)


def check_same_holdout(runs: Sequence[Path]) -> None:
    """Refuse runs that hold out different questions: what one holds out another may have been tuned on.

    Raises
    ------
    ShepherdError
        Naming the first that differs, and the way out.
    """
    for run in runs[1:]:
        if holdout_fingerprint(run) != holdout_fingerprint(runs[0]):
            raise _different(str(runs[0]), str(run))


def check_holds_out(runs: Sequence[Path], config: RunConfig) -> None:
    """Refuse runs that hold out other questions than a run of this config, made or not, holds out."""
    from shepherd.preparation import deal

    check_same_holdout(runs)
    if holdout_fingerprint(runs[0]) != deal(config).test.fingerprint():
        raise _different(str(config.run.directory), str(runs[0]))


def check_joins(study: Study, runs: Sequence[Path]) -> None:
    """Refuse runs that hold out other questions than the runs that have answered a study of theirs."""
    if study.about()["source"] != HOLDOUT:
        return
    check_same_holdout(runs)
    for card in map(study.card, study.models()):
        known = card.about.get("holdout_fingerprint")
        if known is not None and runs and known != holdout_fingerprint(runs[0]):
            raise _different(card.source, str(runs[0]))


def _different(one: str, other: str) -> ShepherdError:
    return ShepherdError(
        f"{one} and {other} hold out different questions, and what one holds out the other may have been tuned on; "
        "ask questions of a file instead (--questions FILE), or make the runs again with data.holdout.name=file, so "
        "that all seeds share one."
    )


def holdout_fingerprint(run: Path) -> str | None:
    """Return the fingerprint of what a run held out."""
    data = read_environment(run).get("data")
    return data.get("holdout_fingerprint") if isinstance(data, dict) else None


def _rows(batch: dict[str, list[object]]) -> list[dict[str, object]]:
    return [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
