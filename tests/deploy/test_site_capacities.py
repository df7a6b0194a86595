"""Sites that hold different parts of the adapter, or write updates down: the simulator's bytes, and what is dropped."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from memory_link import MemoryLink
from site_files import NAMES, all_sites, site, write_site_files

from shepherd.config import RunConfig
from shepherd.deploy.coordinator import Coordinator
from shepherd.deploy.settings import FederationSettings
from shepherd.deploy.wire import Envelope
from shepherd.errors import ShepherdError
from shepherd.model.adapter import Adapter
from shepherd.observer import Observer
from shepherd.runs import execute
from shepherd.tree import from_bytes, to_bytes
from tiny_runs import Stop, adapter_bytes, lines, named, tiny_values

SETTINGS = FederationSettings(
    federation="0" * 16, name="test", host="localhost", join_timeout_s=5, round_timeout_s=5, minimum_sites=2
)
CHAIN = {"name": "topk", "ratio": 0.1, "values": {"name": "quantise", "bits": 4}}


@pytest.fixture
def values(tiny_base: Path, tmp_path: Path) -> dict[str, Any]:
    """A tiny run of two rounds over three clients, of a configuration each."""
    (tmp_path / "clients").mkdir()
    files = write_site_files(tmp_path / "clients")
    return {**tiny_values(tiny_base, tmp_path, **all_sites(files)), "rounds": 2}


@pytest.fixture
def link(values: dict[str, Any], tmp_path: Path, tiny_base: Path) -> MemoryLink:
    """The three sites."""
    return MemoryLink(
        {name: site(name, tmp_path / "clients", tmp_path / "sites", tiny_base).answer for name in NAMES}
    )


@pytest.fixture
def capacity(tmp_path: Path) -> dict[str, Any]:
    """A file that says what each site holds."""
    path = tmp_path / "capacities.yaml"
    path.write_text("anna: {rank: 1}\nberta: {targets: [q_proj, v_proj], layers: [0]}\n")
    return {"name": "file", "path": str(path)}


class Losses(Observer):
    """Keeps who was not part of a round, and why."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, str, str]] = []

    def lost(self, round: int, client: str, reason: str) -> None:
        self.heard.append((round, client, reason))


def over(link: MemoryLink, config: RunConfig, **options: Any) -> Coordinator:
    return Coordinator(config, SETTINGS, link, NAMES, poll_s=0.001, **options)


def spoil(link: MemoryLink, name: str, change: Callable[[bytes], bytes]) -> None:
    """Have a site's updates changed on their way."""
    honest = link.sites[name]

    def spoilt(asked: Envelope) -> Envelope:
        said = honest(asked)
        return asked.answer(said.body, change(said.adapter)) if asked.kind == "train" else said

    link.sites[name] = spoilt


@pytest.mark.parametrize("case", ["topk of 4 bits", "mixed", "mixed by topk", "mixed with a coreset"])
def test_sites_give_the_simulators_adapter_byte_for_byte(
    values: dict[str, Any], link: MemoryLink, capacity: dict[str, Any], case: str
) -> None:
    changes: dict[str, Any] = {"transforms": [{"name": "clip", "norm": 0.1}, CHAIN]} if "topk" in case else {}
    if "mixed" in case:
        changes |= {"capacity": capacity, "aggregation": "hetlora"}
    if "coreset" in case:
        changes |= {"coreset": {"name": "perplexity", "ratio": 0.5}}
    simulated, real = (named(values, name, **changes) for name in ("simulated", "real"))
    execute(simulated)
    with pytest.raises(KeyboardInterrupt):  # what sites keep of their updates outlives a coordinator
        over(link, real, observers=[Stop(after=1)]).run()
    over(link, real).run(resume=True)
    assert adapter_bytes(real) == adapter_bytes(simulated)
    assert lines(real) == lines(simulated)


def test_a_site_is_told_its_own_configuration_and_no_path(
    values: dict[str, Any], link: MemoryLink, capacity: dict[str, Any]
) -> None:
    over(link, named(values, rounds=1, capacity=capacity, aggregation="hetlora")).run()
    told = {name: asked[-1].body for name, asked in link.sent.items()}
    assert told["anna"]["configuration"] == {"rank": 1}
    assert told["berta"]["configuration"] == {"targets": ["q_proj", "v_proj"], "layers": [0]}
    assert told["carla"]["configuration"] == {}
    assert all("capacity" not in body["config"] and "capacities" not in str(body) for body in told.values())
    trained = {name: asked[-1].adapter for name, asked in link.sent.items() if asked[-1].kind == "train"}
    assert len(trained["anna"]) < len(trained["carla"])


def test_a_site_that_returns_another_rank_than_it_was_given_is_dropped(
    values: dict[str, Any], link: MemoryLink, capacity: dict[str, Any]
) -> None:
    losses, config = Losses(), named(values, rounds=1, capacity=capacity, aggregation="hetlora")

    def wider(data: bytes) -> bytes:
        from safetensors.torch import load

        tensors = load(data)
        return Adapter(
            {name: torch.cat([t, t], dim=0 if ".lora_A." in name else 1) for name, t in tensors.items()}
        ).to_bytes()

    spoil(link, "anna", wider)
    over(link, config, observers=[losses]).run()
    ((round, name, said),) = losses.heard
    assert (round, name) == (1, "anna")
    # Which tensor is looked at first is the file's order.
    assert re.search(r"has shape \(\d+, \d+\), not \(\d+, \d+\)", said)
    assert "\n" not in said


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data[:-1], "no message of topk"),
        (lambda data: b"\x80\x04K\x01.", "no message of topk"),
        (lambda data: data + b"0" * 2**21, "sends no more than"),
        (lambda data: to_bytes({}), "does not have the parts gaps, values"),
        (lambda data: to_bytes({**from_bytes(data), "gaps": torch.zeros(3, dtype=torch.uint8)}), "3 places"),
        (lambda data: to_bytes({**from_bytes(data), "values": float("nan")}), "the parts codes, scales"),
    ],
    ids=["cut", "pickle", "too large", "empty", "places", "values"],
)
def test_a_damaged_message_is_dropped_with_its_reason(
    values: dict[str, Any], link: MemoryLink, change: Callable[[bytes], bytes], reason: str
) -> None:
    losses = Losses()
    spoil(link, "carla", change)
    over(link, named(values, rounds=1, transforms=[CHAIN]), observers=[losses]).run()
    ((round, name, said),) = losses.heard
    assert (round, name) == (1, "carla")
    assert reason in said


@pytest.mark.parametrize(
    ("configuration", "reason"),
    [
        ({"rank": 0}, "rank: input should be greater than 0"),
        ({"rank": 3}, "has the rank 3, above the adapter's 2"),
        ({"path": "/etc/passwd"}, "no key 'path'"),
        ({"layers": [9]}, "has the layer 9, and the adapter's are 0 to 1"),
    ],
    ids=str,
)
def test_a_site_refuses_a_configuration_that_is_none(
    values: dict[str, Any], link: MemoryLink, configuration: dict[str, Any], reason: str
) -> None:
    losses = Losses()
    honest = link.sites["anna"]

    def misled(asked: Envelope) -> Envelope:
        body = {**asked.body, "configuration": configuration} if asked.kind == "train" else asked.body
        return honest(Envelope(asked.kind, asked.run, asked.round, body, asked.adapter))

    link.sites["anna"] = misled
    over(link, named(values, rounds=1), observers=[losses]).run()
    assert losses.heard[0][1] == "anna"
    assert reason in losses.heard[0][2]


def test_a_file_that_names_no_site_is_refused_before_anybody_is_asked(
    values: dict[str, Any], link: MemoryLink, capacity: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "capacities.yaml").write_text("anna: {layers: [0]}\nbertha: {layers: [1]}\n")
    with pytest.raises(ShepherdError, match=r"yaml:2: client 'bertha' .* did you mean 'berta'\?"):
        over(link, named(values, capacity=capacity)).run()
    assert link.sent == {}
