from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shepherd.config import parse_config
from shepherd.data.encoding import EncodedExamples
from shepherd.errors import ShepherdError
from shepherd.training import LocalTask, Training

NOTHING = EncodedExamples(np.zeros(0), np.zeros(1), np.zeros(0), 0, "")
ROWS = np.arange(50, 62)

row_sets = st.lists(st.integers(0, 10_000), min_size=1, max_size=40, unique=True).map(np.array)


def task_on(rows: np.ndarray, **changes: Any) -> LocalTask:
    return replace(LocalTask(NOTHING, rows, seed=1, round=2, rounds=10, client=3), **changes)


def stream(training: Training, task: LocalTask) -> np.ndarray:
    return np.concatenate(training.batches(task))


@given(rows=row_sets, epochs=st.integers(1, 4), batch_size=st.integers(1, 50))
def test_every_epoch_holds_every_example_once(rows: np.ndarray, epochs: int, batch_size: int) -> None:
    seen = stream(Training(epochs=epochs, batch_size=batch_size), task_on(rows))
    for number in range(epochs):
        part = seen[number * len(rows) : (number + 1) * len(rows)]
        assert sorted(part) == sorted(rows)
    assert len(seen) == epochs * len(rows)


@given(rows=row_sets, epochs=st.floats(0.01, 4), batch_size=st.integers(1, 50))
def test_only_the_last_batch_may_be_smaller(rows: np.ndarray, epochs: float, batch_size: int) -> None:
    training = Training(epochs=epochs, batch_size=batch_size)
    sizes = [len(batch) for batch in training.batches(task_on(rows))]
    assert sum(sizes) == training.count(len(rows))
    assert all(size == batch_size for size in sizes[:-1])
    assert 1 <= sizes[-1] <= batch_size


@given(rows=row_sets, epochs=st.floats(0.01, 4))
def test_a_part_of_an_epoch_repeats_no_example_more_than_another(rows: np.ndarray, epochs: float) -> None:
    training = Training(epochs=epochs)
    seen = stream(training, task_on(rows))
    assert abs(len(seen) - epochs * len(rows)) <= 0.5 or len(seen) == 1
    counts = Counter(seen.tolist())
    assert max(counts.values()) - min(counts.get(row, 0) for row in rows.tolist()) <= 1


@given(rows=row_sets, steps=st.integers(1, 12), batch_size=st.integers(1, 50))
def test_steps_are_full_batches_whatever_the_epochs(rows: np.ndarray, steps: int, batch_size: int) -> None:
    batches = Training(steps=steps, epochs=0.1, batch_size=batch_size).batches(task_on(rows))
    assert [len(batch) for batch in batches] == [batch_size] * steps


@pytest.mark.parametrize("change", [{"seed": 2}, {"round": 3}, {"client": 4}])
def test_the_order_belongs_to_seed_round_and_client(change: dict[str, int]) -> None:
    training = Training()
    here = stream(training, task_on(ROWS)).tolist()
    assert here == stream(training, task_on(ROWS)).tolist()
    assert here != stream(training, task_on(ROWS, **change)).tolist()


def test_epochs_are_in_different_orders() -> None:
    seen = stream(Training(epochs=2), task_on(ROWS)).tolist()
    assert seen[: len(ROWS)] != seen[len(ROWS) :]


def test_the_batch_size_does_not_change_the_order() -> None:
    orders = [stream(Training(batch_size=size, epochs=1.5), task_on(ROWS)).tolist() for size in (1, 5, 100)]
    assert orders[0] == orders[1] == orders[2]


@given(rows=row_sets, counts=st.lists(st.integers(1, 30), min_size=2, max_size=5))
def test_a_stateful_client_reads_on_where_it_stopped(rows: np.ndarray, counts: list[int]) -> None:
    parts, seen = [], 0
    for round, steps in enumerate(counts):
        training = Training(steps=steps, batch_size=1, stateful=True)
        parts.append(stream(training, task_on(rows, round=round, state={"examples_seen": seen})))
        seen += steps
    whole = Training(steps=seen, batch_size=1, stateful=True)
    assert np.concatenate(parts).tolist() == stream(whole, task_on(rows, round=0)).tolist()


def rates(steps: int, **settings: Any) -> list[float]:
    return [Training(lr=2.0, **settings).rate(task_on(ROWS), step, steps) for step in range(steps)]


def test_a_constant_rate_is_constant() -> None:
    assert rates(7) == [2.0] * 7


@given(steps=st.integers(1, 200), floor=st.floats(0, 1))
def test_decay_follows_its_closed_form(steps: int, floor: float) -> None:
    x = np.arange(steps) / steps
    line = rates(steps, lr_schedule="linear", lr_floor=floor)
    wave = rates(steps, lr_schedule="cosine", lr_floor=floor)
    np.testing.assert_allclose(line, 2 * (floor + (1 - floor) * (1 - x)), rtol=1e-12)
    np.testing.assert_allclose(wave, 2 * (floor + (1 - floor) * np.cos(np.pi * x / 2) ** 2), atol=1e-12)


@given(
    steps=st.integers(1, 30),
    rounds=st.integers(1, 20),
    schedule=st.sampled_from(["constant", "linear", "cosine"]),
    warmup=st.sampled_from([0.0, 0.2, 0.5]),
)
def test_a_schedule_over_the_run_is_one_long_round(
    steps: int, rounds: int, schedule: str, warmup: float
) -> None:
    settings = {"lr_schedule": schedule, "warmup": warmup}
    over_run = Training.model_validate({**settings, "lr_span": "run"})
    over_round = Training.model_validate(settings)
    pieces = [
        over_run.rate(task_on(ROWS, round=round, rounds=rounds), step, steps)
        for round in range(rounds)
        for step in range(steps)
    ]
    whole = [over_round.rate(task_on(ROWS), step, steps * rounds) for step in range(steps * rounds)]
    np.testing.assert_allclose(pieces, whole, rtol=1e-9, atol=1e-15)


def test_warmup_is_a_straight_line_up_to_the_peak() -> None:
    np.testing.assert_allclose(rates(10, warmup=0.5), [0.4, 0.8, 1.2, 1.6, 2, 2, 2, 2, 2, 2])


def test_decay_begins_where_warmup_ends() -> None:
    after = rates(10, warmup=0.5, lr_schedule="linear")[5:]
    np.testing.assert_allclose(after, [2 * (1 - left / 5) for left in range(5)])


@given(
    steps=st.integers(1, 100),
    warmup=st.floats(0, 0.99),
    floor=st.floats(0, 1),
    schedule=st.sampled_from(["constant", "linear", "cosine"]),
)
def test_no_step_is_wasted_or_above_the_peak(steps: int, warmup: float, floor: float, schedule: str) -> None:
    found = rates(steps, warmup=warmup, lr_floor=floor, lr_schedule=schedule)
    assert all(0 < rate <= 2 * (1 + 1e-12) and math.isfinite(rate) for rate in found)


@pytest.mark.parametrize("betas", [(1.0, 0.9), (0.9, -0.1)])
def test_betas_outside_their_range_are_refused(betas: tuple[float, float]) -> None:
    with pytest.raises(ValidationError, match=r"betas must lie in \[0, 1\)"):
        Training(betas=betas)


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_momentum_that_would_do_nothing_is_refused(optimizer: str) -> None:
    with pytest.raises(
        ShepherdError, match=f"momentum is 0.9, and optimizer={optimizer} has none; set optimizer=sgd"
    ):
        parse_config({"training": {"optimizer": optimizer, "momentum": 0.9}})
    parse_config({"training": {"optimizer": "sgd", "momentum": 0.9}})


def test_betas_that_would_do_nothing_are_refused() -> None:
    with pytest.raises(ShepherdError, match="betas are Adam's, and optimizer=sgd has none"):
        parse_config({"training": {"optimizer": "sgd", "betas": [0.8, 0.9]}})
    parse_config({"training": {"optimizer": "sgd", "betas": [0.9, 0.999]}})  # as a run writes them down


@pytest.mark.parametrize("rule", ["flora", "flexlora", "florist", "fedsvd"])
def test_moments_are_not_kept_for_factors_that_are_gone(rule: str) -> None:
    for training in ({"stateful": True}, {"stateful": True, "optimizer": "sgd", "momentum": 0.9}):
        with pytest.raises(
            ShepherdError, match=r"keeps the optimiser's moments .* begins that with other fac"
        ):
            parse_config({"aggregation": rule, "training": training})
    # Whoever keeps nothing but its place in the data is welcome.
    parse_config({"aggregation": rule, "training": {"stateful": True, "optimizer": "sgd"}})
