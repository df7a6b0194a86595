"""What the summary says of the result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shepherd.personal_scores import PersonalScore, write_score
from shepherd.report.record import Record, read_record
from shepherd.report.summary import sentences


def _result(record: Record, loss: float, **figures: float) -> str:
    """Return the sentence of a run that ends with other figures."""
    ended = replace(record, metrics=[*record.metrics, {**record.final, "loss": loss, **figures}])
    (said,) = (sentence for sentence in sentences(ended, [], None) if "held-out examples" in sentence)
    return said


def _personal(run: Path, **figures: Any) -> str:
    """Return the summary of a run of ditto, two of whose clients have adapters of their own that were tested."""
    for client, own in (("a", 3.5), ("b", 4.1)):
        write_score(run, PersonalScore(client, 30, 8, 4.0, own, 4.2, 3.9, **figures))
    write_score(run, PersonalScore("c", 30, 8, 4.0, 4.0, 4.2, 4.2, has_own=False))
    record = read_record(run)
    own = {"adapter": {"gives_own": True, "own_parameters": 0}}
    asked = {"personalisation": {"name": "ditto"}}
    made = replace(record, environment=record.environment | own, config=record.config | asked)
    return " ".join(sentences(made, [], None))


def test_own_adapters_that_were_tested_are_told_and_not_pointed_at(run: Path) -> None:
    said = _personal(run)
    assert "shepherd personalise" not in said
    assert (
        "The clients' own adapters (ditto) were tested for 2 clients: their mean loss is 3.800 on their own tests "
        "(everybody's adapter: 4.000) and 3.900 on what nobody has seen (everybody's adapter: 4.200)." in said
    )
    assert "their mean loss of the chosen answers is 3.800" in _personal(run, of_pairs=True)


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
