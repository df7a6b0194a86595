"""What the head of a summary names: everything that is not as usual, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from shepherd.config import parse_config
from shepherd.report.method import changes, chosen, held, simulated
from shepherd.report.record import read_record
from shepherd.report.summary import sentences
from shepherd.runs import execute
from tiny_runs import tiny_values


def resolved(**sections: Any) -> dict[str, Any]:
    """Return the full config as a run directory has it."""
    return parse_config({"adapter": {"name": "lora", "rank": 8}, **sections}).resolved()


def test_the_usual_is_not_said() -> None:
    config = resolved()
    assert held(config) == ", rank 8,"
    assert [part(config) for part in (chosen, changes, simulated)] == ["", "", ""]
    assert [part({}) for part in (held, chosen, changes, simulated)] == ["", "", "", ""]


@pytest.mark.parametrize(
    ("tiers", "said"),
    [
        ([{"share": 0.5, "rank": 2}, {"share": 0.5}], ", ranks 2 and 8 (capacity: tiers),"),
        (
            [{"share": 0.4, "rank": 4}, {"share": 0.3, "rank": 2}, {"share": 0.3, "rank": 8}],
            ", ranks 2, 4 and 8 (capacity: tiers),",
        ),
        ([{"share": 1.0, "layers": [0]}], ", rank 8, not all of it at every client (capacity: tiers),"),
    ],
)
def test_capacities_are_said_by_their_ranks(tiers: list[dict[str, Any]], said: str) -> None:
    assert held(resolved(capacity={"name": "tiers", "tiers": tiers}, aggregation="hetlora")) == said


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ([3], ", rank 8, in layer 3,"),
        ([5, 2], ", rank 8, in layers 2 and 5,"),
        ([4, 5, 6, 7], ", rank 8, in layers 4 to 7,"),
        ([0, 2, 3, 4], ", rank 8, in layers 0, 2, 3 and 4,"),
    ],
)
def test_the_layers_that_have_an_adapter_are_said(layers: list[int], said: str) -> None:
    config = parse_config({"adapter": {"name": "lora", "rank": 8, "layers": layers}}).resolved()
    assert held(config) == said
    capacity = {"capacity": {"name": "tiers", "tiers": [{"share": 0.5, "rank": 2}, {"share": 0.5}]}}
    assert held(config | capacity) == said.replace("rank 8", "ranks 2 and 8")[:-1] + " (capacity: tiers),"


def test_capacities_that_a_file_gives_are_said_by_the_largest() -> None:
    config = resolved() | {"capacity": {"name": "file", "path": "clients.csv"}}
    assert held(config) == ", ranks up to 8 (capacity: file),"
    assert (
        held(config | {"adapter": {"name": "bitfit"}}) == ", not all of it at every client (capacity: file),"
    )


def test_corrections_transforms_participation_and_system_are_named() -> None:
    config = resolved(
        training={"correction": {"name": "fedprox", "mu": 0.01}},
        transforms=[{"name": "clip", "norm": 1.0}, {"name": "topk", "ratio": 0.1}],
        participation="oort",
        system="synchronous",
    )
    assert chosen(config) == ", chosen by oort,"
    assert changes(config) == ", their steps corrected by fedprox, their updates sent through clip and topk"
    assert simulated(config) == ", on simulated devices (synchronous)"


def test_they_stand_in_the_summary(run: Path) -> None:
    path = run / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["training"] = {"name": "engine", "correction": {"name": "fedprox", "mu": 0.01}}
    config["participation"] = {"name": "round_robin"}
    path.write_text(yaml.safe_dump(config))
    said = " ".join(sentences(read_record(run), [], None))
    assert (
        "3 clients, chosen by round_robin, trained on their own instructions, their steps corrected by"
        in said
    )
    assert "by fedprox, their adapters combined by fedavg; training took" in said


@pytest.mark.parametrize(
    ("changed", "own_test", "said"),
    [
        ({"aggregation": "fedsa"}, 0.25, ["which leaves it the untuned base", "(fedsa) and tests them."]),
        ({"aggregation": "fedsa"}, 0.0, ["(fedsa) and tests them on the hold-out; data.own_test would have"]),
        ({"personalisation": "ditto"}, 0.25, ["(ditto) and tests them."]),
        ({}, 0.25, []),
    ],
)
def test_clients_with_adapters_of_their_own_are_pointed_at(
    tiny_base: Path, tmp_path: Path, changed: dict[str, Any], own_test: float, said: list[str]
) -> None:
    values = tiny_values(tiny_base, tmp_path, rounds=1, **changed)
    values["data"] = {**values["data"], "own_test": own_test}
    found = execute(parse_config(values)).record
    whole = " ".join(sentences(found, [], None))
    assert all(words in whole for words in said)
    assert (f"`shepherd personalise {found.path}` makes the clients' own adapters" in whole) is bool(said)
    assert ("of the adapter's parameters are each client's own" in whole) is ("aggregation" in changed)
    assert ("the loss stayed at" in whole) is ("aggregation" in changed)


def test_layers_are_said_of_an_adapter_without_a_rank_too() -> None:
    assert held({"adapter": {"name": "ia3", "layers": [1, 0]}}) == ", in layers 0 and 1,"
    assert held({"adapter": {"name": "ia3"}}) == ""
