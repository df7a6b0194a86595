"""The lm-evaluation-harness on a run's model: tasks of its own, by name, and local files.

What was measured is kept in the run directory's harness.json by task; a task with the same settings and the same
weights is not done again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from shepherd.errors import ShepherdError
from shepherd.evaluation.harness_tasks import TaskFile
from shepherd.evaluation.lm_evaluation import HarnessSettings, evaluate
from shepherd.files import write_json
from shepherd.study.respondents import LocalRespondent


def examine(
    model: LocalRespondent,
    tasks: Sequence[str | TaskFile],
    settings: HarnessSettings,
    index: Any = None,
    on_task: Callable[[str], None] = lambda name: None,
) -> dict[str, dict[str, Any]]:
    """Do tasks with one model, but for those it has done already.

    Parameters
    ----------
    model : LocalRespondent
        The model; of a run the results are kept in its directory, of any other they are only returned.
    tasks : sequence of str or TaskFile
        lm-eval's tasks by name, and files.
    settings : HarnessSettings
        How they are done.
    index : lm_eval.tasks.TaskManager, optional
        What `check_names` returned; needed for tasks by name only.
    on_task : callable
        Told the name of a task before it is begun.

    Returns
    -------
    dict
        By task: ``metrics`` ({name: {value, stderr}}), ``parts`` (the same for the tasks of a group), ``examples``,
        ``cut`` (requests that lost their beginning), ``settings``, ``weights`` (fingerprints), ``seconds``.

    Raises
    ------
    ShepherdError
        If a task cannot be done; what was done before is kept.
    """
    check_shots(tasks, settings)
    directory = Path(model.card.source) if model.card.kind == "run" else None
    weights = {"base": model.card.base_fingerprint, "own": model.card.fingerprint}
    results = read_results(directory)
    found = {}
    for task in tasks:
        name = task if isinstance(task, str) else task.name
        kept = _kept_settings(task, model, settings)
        done = results.get(name)
        if done is None or (done["settings"], done["weights"]) != (kept, weights):
            on_task(name)
            done = {**_examine(model, task, settings, index), "settings": kept, "weights": weights}
            results[name] = done
            if directory is not None:
                write_json(directory / "harness.json", {"tasks": results})
        found[name] = done
    return found


def check_shots(tasks: Sequence[str | TaskFile], settings: HarnessSettings) -> None:
    """Refuse more examples than a file has rows besides the question; tasks by name bring their own.

    Raises
    ------
    ShepherdError
        Naming the first such file.
    """
    for task in tasks:
        if isinstance(task, TaskFile) and settings.shots and settings.shots >= len(task.rows):
            most = len(task.rows) - 1
            raise ShepherdError(
                f"The task file {task.name} has {most + 1} rows, so {most} others can be shown before a question, and "
                f"not {settings.shots}; give --shots {most} or fewer, or a file with more rows."
            )


def read_results(directory: Path | None) -> dict[str, dict[str, Any]]:
    """Return what harness.json of a run directory holds, by task; nothing without one."""
    if directory is None or not (directory / "harness.json").exists():
        return {}
    path = directory / "harness.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["tasks"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ShepherdError(f"{path} is damaged and cannot be read; delete it to measure anew.") from error


def _kept_settings(task: str | TaskFile, model: LocalRespondent, settings: HarnessSettings) -> dict[str, Any]:
    """Return all that a task's figures depend on, but for the weights."""
    common = {
        "lm_eval": version("lm-eval"),
        "limit": settings.limit,
        "shots": settings.shots,
        "seed": settings.seed,
    }
    if isinstance(task, str):
        return common
    own = {"file": task.fingerprint, "prompt": None if settings.plain else model.prompt.description()}
    return common | own | ({} if task.multiple_choice else {"max_new_tokens": settings.max_new_tokens})


def _examine(
    model: LocalRespondent, task: str | TaskFile, settings: HarnessSettings, index: Any
) -> dict[str, Any]:
    name = task if isinstance(task, str) else task.name
    began = time.perf_counter()
    found, cut = evaluate(model, task, settings, index)
    return {**_figures(name, found), "cut": cut, "seconds": round(time.perf_counter() - began, 1)}


def _figures(name: str, found: dict[str, Any]) -> dict[str, Any]:
    """Return lm-eval's results under plainer names."""
    parts = {part: _metrics(values) for part, values in found["results"].items()}
    own = parts.pop(name, {})
    examples = sum(count["effective"] for count in found["n-samples"].values())
    return {"metrics": own, "parts": parts, "examples": examples}


def _metrics(values: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    metrics = {}
    for key, value in values.items():
        metric, _, how = key.partition(",")
        if how and not metric.endswith("_stderr") and isinstance(value, (int, float)):
            error = values.get(f"{metric}_stderr,{how}")
            label = metric if how == "none" else f"{metric} ({how})"
            metrics[label] = {"value": float(value), "stderr": error if isinstance(error, float) else None}
    return metrics
