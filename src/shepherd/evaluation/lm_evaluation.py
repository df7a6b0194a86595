"""lm-eval, called so that nothing of it is left behind: no seeded global generators, no flood, no waiting for a hub.

It knows how lm-eval is called and what it may raise; what is kept of its results is `harness`' business.
"""

from __future__ import annotations

import difflib
import importlib.util
import io
import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from shepherd.errors import ShepherdError, first_line
from shepherd.evaluation.harness_tasks import TaskFile
from shepherd.hub import only_cached
from shepherd.settings import Settings
from shepherd.study.respondents import LocalRespondent

#: Draws of lm-eval's own bootstrap, where a task's figure has no standard error in closed form.
_BOOTSTRAP_DRAWS = 1000


class HarnessSettings(Settings):
    """How tasks are done.

    Attributes
    ----------
    limit : int, optional
        The first rows of every task; all unless told.
    shots : int, optional
        Examples shown before every question; a task's own number unless told, none of a file.
    batch_size : int
        Sequences at once; it changes no figure beyond rounding.
    max_new_tokens : int
        Longest free answer to a file's question.
    plain : bool
        Ask a file's questions as they are, without the run's prompt. Tasks by name always are asked in lm-eval's own
        form, as published figures are.
    seed : int
        The seed of lm-eval's draws, such as which examples are shown.
    """

    limit: int | None = Field(None, gt=0)
    shots: int | None = Field(None, ge=0)
    batch_size: int = Field(16, gt=0)
    max_new_tokens: int = Field(128, gt=0)
    plain: bool = False
    seed: int = Field(0, ge=0, lt=2**32)


def check_names(names: Sequence[str]) -> Any:
    """Return lm-eval's index of tasks, in which every name is found.

    Raises
    ------
    ShepherdError
        If lm-eval is not installed, or knows no task of a name.
    """
    with _quiet():
        from lm_eval.tasks import TaskManager

        manager = TaskManager()
    known = set(manager.all_tasks)
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            meant = f"; did you mean {' or '.join(sorted(close))}?" if close else ""
            raise ShepherdError(
                f"lm-eval knows no task '{name}'{meant or '.'} `lm-eval ls tasks` lists them; a file of your own is "
                "given with --task-file."
            )
    return manager


def require_lm_eval() -> None:
    """Refuse to go on without lm-eval, saying how to get it."""
    if importlib.util.find_spec("lm_eval") is None:
        raise ShepherdError(
            "The harness is lm-eval, which is not installed; install it with: pip install 'fedshepherd[eval]'"
        )


def evaluate(
    asked: LocalRespondent, task: str | TaskFile, settings: HarnessSettings, index: Any
) -> tuple[dict[str, Any], int]:
    """Return lm-eval's results of one task, and how many requests were too long and lost their beginning.

    Raises
    ------
    ShepherdError
        If the task cannot be done: its data set is not to be had, or the model cannot do it.
    """
    with _quiet(), _global_generators_seeded(settings.seed), _offline(task, index):
        try:
            return _evaluated(asked, task, settings, index)
        except ShepherdError:
            raise
        except Exception as error:  # lm-eval, its tasks and data sets raise anything
            name = task if isinstance(task, str) else task.name
            raise ShepherdError(f"The task {name} cannot be done: {first_line(error)}") from error


def _evaluated(
    asked: LocalRespondent, task: str | TaskFile, settings: HarnessSettings, index: Any
) -> tuple[dict[str, Any], int]:
    from lm_eval.evaluator import evaluate as lm_evaluate
    from lm_eval.tasks import TaskManager

    from shepherd.evaluation.harness_model import HarnessModel, PromptedModel, own_generation_settings_aside

    prompted = isinstance(task, TaskFile) and not settings.plain
    model = (PromptedModel if prompted else HarnessModel)(asked, settings.batch_size)
    render = asked.prompt.render if prompted else None
    made = task if isinstance(task, str) else task.task(render, settings.max_new_tokens)
    loaded = (index or TaskManager(include_defaults=False)).load([made])
    for one in loaded["tasks"].values():
        _set_shots(one, settings)
    # Not simple_evaluate: it also asks git, pip and the hardware for their versions, which takes seconds a task.
    with asked.speaking(), own_generation_settings_aside(asked.model.peft):
        found = lm_evaluate(
            model, loaded, limit=settings.limit, bootstrap_iters=_BOOTSTRAP_DRAWS, log_samples=False
        )
    return dict(found or {}), model.cut


def _set_shots(task: Any, settings: HarnessSettings) -> None:
    """Set how many examples are shown, as lm-eval's simple_evaluate does: a task that says 0 keeps it."""
    own = task.get_config("num_fewshot")
    if settings.shots is not None and own != 0:
        task.set_config(key="num_fewshot", value=settings.shots)
    elif own is None:
        task.set_config(key="num_fewshot", value=0)
    task.set_fewshot_seed(seed=settings.seed)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep progress bars and lm-eval's log lines to themselves."""
    log = logging.getLogger("lm_eval")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        log.setLevel(level)


@contextmanager
def _global_generators_seeded(seed: int) -> Iterator[None]:
    """Seed Python's, NumPy's and torch's global generators, which tasks draw from, and put them back as they were."""
    import torch

    own, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng():
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(own)
        np.random.set_state(numpys)  # noqa: NPY002


@contextmanager
def _offline(task: str | TaskFile, index: Any) -> Iterator[None]:
    """Where the hub does not answer, read the data set of a task by name from the cache."""
    name = _data_set(task, index) if isinstance(task, str) else None
    if name is None or Path(name).exists() or not _cached_only(str(task), name):
        yield
        return
    import datasets

    own = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = own


def _cached_only(task: str, data_set: str) -> bool:
    try:
        return only_cached(data_set, "dataset")
    except ShepherdError as error:
        raise ShepherdError(
            f"The task {task} needs the data set {data_set}, which is not in the Hugging Face cache, and the hub "
            "cannot be reached; go online once, or give rows of your own with --task-file."
        ) from error


def _data_set(name: str, index: Any) -> str | None:
    """Return the hub's name of a task's data set; of a group, of its first member's."""
    entry = index.task_index.get(name)
    if entry is None:
        return None
    content = entry.cfg or {}
    data_set = content.get("dataset_path")
    if isinstance(data_set, str):
        return None if data_set in ("json", "csv", "parquet") else data_set
    listed = content.get("task")
    members = [*(listed if isinstance(listed, list) else ()), *sorted(entry.tags)]
    member = next((one for one in members if isinstance(one, str) and one != name), None)
    return _data_set(member, index) if member else None
