"""Which study is meant, and its questions: from a file, Vicuna's, or what the runs held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from shepherd.errors import ShepherdError
from shepherd.study.directory import STUDIES, Study, begun_studies, find_study
from shepherd.study.holdout import HOLDOUT, check_joins, holdout_questions
from shepherd.study.questions import drawn, read_questions
from shepherd.study.sources import Source

#: What a new study is told to ask.
_WHAT = (
    "--questions FILE (.jsonl, .json, .csv or .parquet, with a column `instruction`), "
    "--questions vicuna (the 80 of the Vicuna project), or --questions holdout (what the runs held out)"
)


def begin_study(
    path: Path | None,
    questions: str | None,
    sources: Sequence[Source],
    columns: Mapping[str, str] | None = None,
    count: int | None = None,
    seed: int = 0,
    counts: Sequence[int] = (),
) -> Study:
    """Return the study, begun with its questions if it is not there yet.

    Parameters
    ----------
    path : Path, optional
        Its folder; by the questions, in `STUDIES`, unless told.
    questions : str, optional
        A file, ``vicuna`` or ``holdout``; None for those it has already.
    sources : sequence of Source
        Who is to answer.
    columns : mapping of str to str, optional
        The file's columns, where they are not recognised.
    count : int, optional
        Draw so many.
    seed : int
        What they are drawn by.
    counts : sequence of int
        The report has tables of so many of them too.

    Raises
    ------
    ShepherdError
        If there are no such questions, the study has others, or runs hold out different ones.
    """
    runs = [Path(source.place) for source in sources if source.kind == "run"]
    if questions is None:
        study = _known(path)
    else:
        found = holdout_questions(runs) if questions == HOLDOUT else read_questions(questions, columns)
        study = Study(path or STUDIES / _folder_name(questions, runs))
        study.begin(found if count is None else drawn(found, count, seed), questions, counts)
    check_joins(study, runs)
    return study


def _known(path: Path | None) -> Study:
    if path is not None and not Study(path).exists:
        raise ShepherdError(f"{path} is no study yet; say what to ask: {_WHAT}.")
    known = begun_studies() if path is None else []
    if path is None and not known:
        raise ShepherdError(f"There is no study in {STUDIES}/ yet; say what to ask: {_WHAT}.")
    if len(known) > 1:
        listed = " or ".join(map(str, known))
        raise ShepherdError(f"Say which study goes on with --study ({listed}), or begin one with {_WHAT}.")
    return find_study(path)


def _folder_name(questions: str, runs: Sequence[Path]) -> str:
    if questions != HOLDOUT:
        return Path(questions).name.partition(".")[0].partition(":")[0]
    run = runs[0].resolve()
    return f"{HOLDOUT}-{run.parents[1].name if run.parent.name == 'baselines' else run.name}"
