"""What the terminal says when a run is finished."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from shepherd.report.record import Record
from shepherd.report.summary import sentences
from shepherd.units import count, duration, percent, size


def print_summary(record: Record, console: Console) -> None:
    """Print the run in words, FedIT's Table 2 row, and where everything is."""
    for sentence in sentences(record, record.baselines(), None):
        console.print(sentence, highlight=False)
    console.print(_costs(record))
    for what, name in (("adapter", "adapter"), ("metrics", "metrics.jsonl"), ("report", "report.html")):
        console.print(f"{what:8} {record.path / name}", highlight=False, soft_wrap=True)


def _costs(record: Record) -> Table:
    """FedIT's Table 2: what is frozen, what is trained, and what it cost."""
    parameters = record.environment["parameters"]
    frozen, trainable = parameters["frozen"], parameters["trainable"]
    table = Table("frozen", "trainable", "share", "training time", "peak memory")
    table.add_row(
        count(frozen),
        count(trainable),
        percent(trainable / (frozen + trainable)),
        duration(record.training_seconds),
        size(record.peak_memory_bytes),
    )
    return table
