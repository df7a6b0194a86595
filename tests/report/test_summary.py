"""What the summary says of the result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from shepherd.report.record import Record, read_record
from shepherd.report.summary import sentences


def _result(record: Record, loss: float, **figures: float) -> str:
    """Return the sentence of a run that ends with other figures."""
    ended = replace(record, metrics=[*record.metrics, {**record.final, "loss": loss, **figures}])
    (said,) = (sentence for sentence in sentences(ended, [], None) if "held-out examples" in sentence)
    return said


@pytest.mark.parametrize("change", [-4e-4, 4e-4])
def test_a_loss_that_prints_alike_stayed(run: Path, change: float) -> None:
    record = read_record(run)
    assert record.untuned is not None
    first = record.untuned["loss"]
    said = _result(record, first + change, rouge_l=0.2)
    assert said == (
        f"On 48 held-out examples the loss stayed at {first:.3f} nats per response token, ROUGE-L from 0.063 to 0.200."
    )
    assert _result(record, first + 0.01).startswith(
        "On 48 held-out examples the loss went from 4.300 to 4.310"
    )
    assert _result(record, first - 0.01).startswith(
        "On 48 held-out examples the loss fell from 4.300 to 4.290"
    )
