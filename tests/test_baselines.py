from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from shepherd.allocate import allocate
from shepherd.baselines import Alone, baseline_configs, draw_clients, run_baselines
from shepherd.config import RunConfig, parse_config
from shepherd.data.client_files import write_client_files
from shepherd.observer import Observer
from shepherd.preparation import deal
from shepherd.report.record import Record, read_record
from shepherd.runs import execute
from shepherd.training import Engine
from shepherd.training.corrections import FedProx


class Silent(Observer):
    """An observer that says nothing, and counts the runs that went round."""

    def __init__(self) -> None:
        self.rounds = 0

    def cohort(self, round: int, clients: Any) -> None:
        self.rounds += 1


def records(
    config: RunConfig, budget: Any = "examples", observer: Observer | None = None
) -> dict[str, Record]:
    def progress(label: str) -> AbstractContextManager[Observer]:
        return nullcontext(observer or Silent())

    run_baselines(config, Alone(drawn=2), budget, progress)
    return {record.label: record for record in read_record(config.run.directory).baselines()}


def test_baselines_spend_what_the_federation_spent_on_the_same_hold_out(tiny: dict[str, Any]) -> None:
    config = parse_config(tiny)
    found = records(config)
    federated = read_record(config.run.directory)
    assert set(found) == {"untuned", "centralised", *(label for label in found if label.startswith("alone-"))}
    assert len(found) == 4
    assert found["untuned"].examples == 0
    assert found["untuned"].final["loss"] == federated.untuned["loss"]  # type: ignore[index]
    holdouts = {record.environment["data"]["holdout_fingerprint"] for record in (federated, *found.values())}
    assert len(holdouts) == 1
    for label, record in found.items():
        if label != "untuned":
            assert abs(record.examples - federated.examples) <= config.rounds
    assert (config.run.directory / "report.html").is_file()


def test_the_untuned_base_answers_without_random_virtual_tokens(tiny: dict[str, Any]) -> None:
    plain = execute(parse_config({**tiny, "rounds": 0, "run": {**tiny["run"], "name": "plain"}})).record
    config = parse_config({**tiny, "rounds": 1, "adapter": {"name": "prompt", "tokens": 3}})
    found = records(config)
    assert found["untuned"].final["loss"] == plain.final["loss"]
    assert found["untuned"].final["loss"] != read_record(config.run.directory).untuned["loss"]  # type: ignore[index]


def test_where_a_coreset_chose_there_is_a_centralised_one(tiny: dict[str, Any]) -> None:
    config = parse_config({**tiny, "coreset": {"name": "random", "count": 3}})
    found = records(config)
    federated = read_record(config.run.directory)
    assert federated.examples == 3 * 2 * 3
    reference = found["centralised-coreset"]
    assert abs(reference.examples - federated.examples) <= config.rounds
    selected = {line["selected"] for line in reference.scope("client")}
    assert len(selected) == 1
    assert selected.pop() <= federated.examples


def test_in_rounds_a_client_alone_does_its_own_local_training(tiny: dict[str, Any]) -> None:
    config = parse_config(tiny)
    sizes = {name: len(rows) for name, rows in zip(*_clients(config), strict=True)}
    for label, record in records(config, "rounds").items():
        if label.startswith("alone-"):
            assert record.examples == config.rounds * sizes[label.removeprefix("alone-")]


def _clients(config: RunConfig) -> tuple[Any, Any]:
    allocated = deal(config).allocated
    return allocated.names, allocated.rows


def test_what_is_done_is_not_done_again(tiny: dict[str, Any]) -> None:
    first, second = Silent(), Silent()
    records(parse_config(tiny), observer=first)
    records(parse_config(tiny), observer=second)
    assert first.rounds == 4 * 3
    assert second.rounds == 0


def test_whoever_is_alone_is_held_to_nobody() -> None:
    engine = Engine(correction=FedProx(mu=0.5), steps=3, lr=0.1)
    assert engine.alone(2.0) == Engine(lr=0.1, epochs=2.0, stateful=True)


def test_only_what_makes_a_baseline_differs(tiny: dict[str, Any]) -> None:
    config = parse_config({**tiny, "transforms": [{"name": "clip", "norm": 1.0}]})
    federated = execute(config).record
    for label, derived in baseline_configs(config, federated, deal(config), [1]):
        before, after = config.resolved(), derived.resolved()
        differing = {key for key in before if before[key] != after[key]}
        pooled = {"run", "participation", "training", "transforms", "evaluation"}
        allowed = {"run", "rounds"} if label == "untuned" else pooled
        assert differing <= allowed | ({"allocation"} if label == "centralised" else set())
        assert derived.evaluation.rouge_untuned == (label == "untuned")
        assert derived.training.lr == config.training.lr


def test_who_trains_alone_is_drawn_from_the_seed() -> None:
    assert draw_clients(3, 100, 0) == draw_clients(3, 100, 0)
    assert draw_clients(3, 100, 0) != draw_clients(3, 100, 1)
    assert draw_clients(3, 2, 0) == [0, 1]


def test_an_allocation_written_before_the_run_does_not_stand_in_its_way(tiny: dict[str, Any]) -> None:
    config = parse_config(tiny)
    allocate(config)
    execute(config)
    assert (config.run.directory / "clients").is_dir()


def test_centralised_over_clients_from_files_trains_on_all_of_them(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    dealt = deal(parse_config(tiny))
    write_client_files(tmp_path / "clients", dealt.train, dealt.test, dealt.allocated)
    tiny["allocation"] = {"name": "files", "path": str(tmp_path / "clients")}
    found = records(parse_config(tiny))
    assert found["centralised"].final["loss"] == pytest.approx(found["centralised"].final["loss"])
    assert found["centralised"].environment["data"]["training_rows"] == len(dealt.train)


def test_who_trains_alone_is_named_found_by_what_it_holds_or_drawn(tiny: dict[str, Any]) -> None:
    dealt = deal(parse_config(tiny))
    spread = dealt.heterogeneity()
    category = spread.categories[0]
    best = int(spread.shares[:, 0].argmax())
    assert Alone(names=["3"]).choose(dealt, 0) == {"3": 3}
    assert Alone(names=["3"], holding=[[category]]).choose(dealt, 0) == {"3": 3, category: best}
    assert list(Alone(drawn=2).choose(dealt, 0).values()) == draw_clients(2, 5, 0)
