"""Runs on simulated devices from their config to their files; and where there is nothing to simulate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from shepherd.client import ClientSide
from shepherd.config import parse_config
from shepherd.deploy.coordinator import Coordinator
from shepherd.errors import ShepherdError
from shepherd.model.adapted import AdaptedModel
from shepherd.observer import Observer
from shepherd.opening import Opening
from shepherd.participation import Candidates
from shepherd.runs import execute
from shepherd.state import RunState
from tiny_runs import adapter_bytes, lines, named


def test_a_run_on_any_devices_ends_as_the_plain_one_and_says_what_they_would_take(
    tiny: dict[str, Any],
) -> None:
    values = {**tiny, "rounds": 2, "evaluation": {"answers": 0}}
    plain, simulated = named(values, "plain"), named(values, "simulated", system="synchronous")
    execute(plain)
    execute(simulated)
    assert adapter_bytes(simulated) == adapter_bytes(plain)
    facts = json.loads((simulated.run.directory / "environment.json").read_text())
    frozen, trainable = facts["parameters"]["frozen"], facts["parameters"]["trainable"]
    assert facts["system"]["flops_per_token"] == 4 * (frozen + trainable) + 2 * trainable
    assert facts["system"]["memory_needed_bytes"] == 4 * (frozen + trainable) + 12 * trainable
    for line in lines(simulated):
        if line["scope"] == "client":
            parts = [line[f"simulated_{part}_seconds"] for part in ("download", "compute", "upload")]
            assert line["simulated_seconds"] == pytest.approx(sum(parts))
            assert line["fate"] == "arrived"


def test_the_second_adapter_of_ditto_is_on_the_clock(tiny: dict[str, Any]) -> None:
    values = {**tiny, "rounds": 1, "evaluation": {"answers": 0}, "system": "synchronous"}
    once = named(values, "once")
    thrice = named(values, "thrice", personalisation={"name": "ditto", "epochs": 2})
    execute(once)
    execute(thrice)
    alone, both = ([line for line in lines(run) if line["scope"] == "client"] for run in (once, thrice))
    key = "simulated_compute_seconds"
    assert [line[key] for line in both] == pytest.approx([3 * line[key] for line in alone])
    assert [line["tokens"] for line in both] == [line["tokens"] for line in alone]


def test_losses_that_are_needed_before_training_are_on_the_clock(tiny: dict[str, Any]) -> None:
    values = {**tiny, "rounds": 1, "evaluation": {"answers": 0}, "system": "synchronous"}
    plain = named(values, "plain", aggregation={"name": "fedavg", "weights": "uniform"})
    asking = named(values, "asking", aggregation={"name": "qfedavg", "lr": 10.0})
    execute(plain)
    execute(asking)
    alone, both = ([line for line in lines(run) if line["scope"] == "client"] for run in (plain, asking))
    key = "simulated_compute_seconds"
    ratios = [one[key] / other[key] for one, other in zip(both, alone, strict=True)]
    # A forward pass is half of forward and backward through a frozen base; lengths are taken for the mean's.
    assert all(1.2 < ratio < 1.9 for ratio in ratios)


def test_a_trace_with_gaps_is_refused_before_a_model_is_loaded(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AdaptedModel, "__init__", lambda *_: pytest.fail("a model was loaded"))
    path = tmp_path / "devices.csv"
    path.write_text("flops,memory_bytes,download_bytes_per_s,upload_bytes_per_s,latency_s\n1,2,3,,5\n")
    system = {"devices": {"name": "file", "path": str(path)}}
    with pytest.raises(
        ShepherdError, match=r"devices\.csv:2 has an empty 'upload_bytes_per_s'; a trace may have no"
    ):
        execute(named(tiny, "gaps", system=system))


def test_a_trace_that_has_changed_is_not_gone_on_with(tiny: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "devices.csv"
    header = "flops,memory_bytes,download_bytes_per_s,upload_bytes_per_s,latency_s\n"
    path.write_text(header + "1e9,1e9,1e6,1e6,0\n")
    system = {"devices": {"name": "file", "path": str(path)}}
    config = named({**tiny, "rounds": 1, "evaluation": {"answers": 0}}, "changed", system=system)
    execute(config)
    path.write_text(header + "2e9,1e9,1e6,1e6,0\n")
    with pytest.raises(ShepherdError, match=r"The trace of the devices has changed since"):
        execute(config, resume=True)


def test_real_sites_are_not_simulated() -> None:
    with pytest.raises(
        ShepherdError, match=r"simulates devices and networks, and these sites have real ones"
    ):
        Coordinator(parse_config({"system": "fedbuff"}), cast(Any, None), cast(Any, None), []).run()


class Last(Observer):
    """Remembers the last state that was committed."""

    state: RunState

    def committed(self, state: RunState, _: Any) -> None:
        self.state = state


@pytest.mark.parametrize("name", ["scaffold", "feddyn"])
@pytest.mark.parametrize(
    ("system", "participation"),
    [
        ({"dropout": {"after": 0.4}}, {"name": "random", "count": 3}),
        ({"devices": "lognormal"}, {"name": "random", "count": 2, "over_selection": 1.5}),
    ],
)
def test_what_the_server_keeps_is_the_mean_of_what_clients_keep_though_updates_are_lost(
    tiny: dict[str, Any], name: str, system: dict[str, Any], participation: dict[str, Any]
) -> None:
    changes: dict[str, Any] = {"aggregation": name, "system": system, "participation": participation}
    training = {**tiny["training"], "correction": name}
    last = Last()
    config = named(tiny, name, rounds=4, evaluation={"answers": 0}, training=training, **changes)
    execute(config, observers=[last])
    assert any(line["scope"] == "missing" and line["tokens"] for line in lines(config))
    kept = [own["training"]["correction"] for own in last.state.clients.values()]
    of_server, of_client = {"scaffold": ("control", "control"), "feddyn": ("pull", "own")}[name]
    mean = sum(own[of_client] for own in kept) / 5
    torch.testing.assert_close(last.state.aggregation[of_server], mean, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    "changes",
    [
        {"transforms": [{"name": "topk", "ratio": 0.05}]},
        {"transforms": [{"name": "quantise", "bits": 4}]},
        {"transforms": [{"name": "low_rank", "rank": 1}]},
        {"aggregation": "scaffold", "training": {"correction": "scaffold", "lr": 1e-2}},
        {"aggregation": "ffa"},
        {},
    ],
)
def test_what_clients_send_is_known_before_they_do(tiny: dict[str, Any], changes: dict[str, Any]) -> None:
    last = Last()
    config = named(tiny, rounds=1, evaluation={"answers": 0}, system="synchronous", **changes)
    execute(config, observers=[last])
    known = Candidates(0, 0, [8] * 5, [str(client) for client in range(5)])
    opening = Opening(last.state, known, config.aggregation, config.capacity)
    for line in lines(config):
        if line["scope"] == "client":
            expected = opening.answer_bytes(line["number"], ClientSide.of(config))
            # What surrounds a vector that is said is some hundred bytes; the adapter is some ten thousand.
            assert line["bytes_up"] == pytest.approx(expected, rel=0.02, abs=300)


def test_an_update_of_an_earlier_round_does_not_cost_its_client_what_the_coreset_keeps(
    tiny: dict[str, Any],
) -> None:
    last = Last()
    config = named(
        tiny,
        rounds=4,
        coreset={"name": "kmeans", "ratio": 0.5},
        training={**tiny["training"], "stateful": True},
        participation={"name": "random", "fraction": 1.0},
        system={"name": "fedbuff", "concurrency": 4, "buffer": 1},
        evaluation={"answers": 0},
    )
    execute(config, observers=[last])
    assert any(line.get("staleness", 0) > 0 for line in lines(config) if line["scope"] == "client")
    trained = [own for own in last.state.clients.values() if "training" in own]
    assert trained
    assert all("coreset" in own for own in trained)
