"""What the lm-evaluation-harness found, as a table: a line a task and figure, a column a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from shepherd.report.tables import Column, csv_text, line_table
from shepherd.units import fixed

#: By model, by task: what `shepherd.evaluation.harness.examine` returns.
Results = Mapping[str, Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class _Line:
    """A line: task and figure, and every model's value with its standard error."""

    task: str
    metric: str
    figures: list[dict[str, float | None]]

    @property
    def label(self) -> str:
        """What the line begins with."""
        return f"{self.task} {self.metric}"


def harness_table(results: Results) -> Table:
    """Return every figure of every task with its standard error."""
    columns = [_column(label, place) for place, label in enumerate(results)]
    return line_table("lm-evaluation-harness", _caption(results), "Task", list(_lines(results)), columns)


def _column(label: str, place: int) -> Column[_Line]:
    """Return one model's column."""

    def text(line: _Line) -> str:
        """Return the model's figure with its standard error, if it has one."""
        figure = line.figures[place]
        error = figure.get("stderr")
        return fixed(figure.get("value")) + ("" if error is None else f" ±{fixed(error)}")

    return Column(label, lambda _: None, text)


def _lines(results: Results) -> Iterator[_Line]:
    """Yield a line for every figure; the tasks of a group stand below it."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for model, tasks in results.items():
        for name, done in tasks.items():
            for part, metrics in {name: done["metrics"], **done["parts"]}.items():
                for metric, figure in metrics.items():
                    found.setdefault((part, metric), {})[model] = figure
    for (task, metric), by_model in found.items():
        yield _Line(task, metric, [by_model.get(model, {}) for model in results])


def _caption(results: Results) -> str:
    tasks = {name: done for of_model in results.values() for name, done in of_model.items()}
    examples = ", ".join(f"{name} {done['examples']}" for name, done in tasks.items())
    cut = {name: done["cut"] for name, done in tasks.items() if done["cut"]}
    lost = "".join(
        f" {count} requests of {name} were too long and lost their beginning." for name, count in cut.items()
    )
    return f"±: one standard error. Questions: {examples}.{lost}"


def to_csv(results: Results) -> str:
    """Return every figure unrounded, one a line."""
    lines = [
        [model, line.task, line.metric, figure.get("value"), figure.get("stderr")]
        for line in _lines(results)
        for model, figure in zip(results, line.figures, strict=True)
        if figure
    ]
    return csv_text(["model", "task", "metric", "value", "stderr"], lines)
