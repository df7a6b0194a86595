"""Sites over a link without a network: the simulator's adapter, and what becomes of sites that are lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from memory_link import MemoryLink
from site_files import NAMES, all_sites, file_of, site, write_site_files

from shepherd.config import RunConfig
from shepherd.deploy.coordinator import Coordinator
from shepherd.deploy.settings import FederationSettings
from shepherd.deploy.site import Site
from shepherd.deploy.wire import Envelope
from shepherd.errors import ShepherdError
from shepherd.observer import Observer
from shepherd.runs import execute
from shepherd.tree import most_bytes
from tiny_runs import Stop, adapter_bytes, lines, named, tiny_values

FEDHDS = {"name": "fedhds", "smallest_group": 2}
TURBO = {"name": "relevant", "then": {"name": "fedhds", "smallest_group": 2, "every": "once"}}
SETTINGS = FederationSettings(
    federation="0" * 16, name="test", host="localhost", join_timeout_s=5, round_timeout_s=5, minimum_sites=2
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clients as files, and a hold-out."""
    return write_site_files(tmp_path_factory.mktemp("clients"))


@pytest.fixture
def values(tiny_base: Path, tmp_path: Path, files: Path) -> dict[str, Any]:
    """A tiny run over the three clients."""
    return tiny_values(tiny_base, tmp_path, **all_sites(files))


@pytest.fixture
def link(files: Path, tmp_path: Path, tiny_base: Path) -> MemoryLink:
    """The three sites."""
    return MemoryLink({name: site(name, files, tmp_path / "sites", tiny_base).answer for name in NAMES})


def over(link: MemoryLink, config: RunConfig, **options: Any) -> Coordinator:
    return Coordinator(config, options.pop("settings", SETTINGS), link, NAMES, poll_s=0.001, **options)


class Losses(Observer):
    """Keeps who was not part of a round, and why."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, str, str]] = []

    def lost(self, round: int, client: str, reason: str) -> None:
        self.heard.append((round, client, reason))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"coreset": FEDHDS},
        {"coreset": TURBO},
        {"training": {"lr": 1e-2, "batch_size": 4, "stateful": True}},
        {"participation": {"name": "random", "count": 2}, "transforms": [{"name": "clip", "norm": 0.1}]},
        {"participation": {"name": "power_of_choice", "count": 2, "drawn": 3, "poll_examples": 16}},
        {"participation": {"name": "oort", "count": 2, "explore": 0.3}},
        {"participation": {"name": "divfl", "count": 2, "explore": 0.3}},
        {
            "aggregation": "scaffold",
            "training": {"lr": 1e-2, "batch_size": 4, "correction": "scaffold"},
        },
        {"aggregation": "afl", "participation": {"name": "random", "fraction": 1}},
    ],
    ids=[
        "fedavg",
        "fedhds",
        "kept groups",
        "stateful",
        "clipped pairs",
        "power of choice",
        "oort",
        "divfl",
        "scaffold",
        "afl",
    ],
)
def test_sites_give_the_simulators_adapter_byte_for_byte(
    values: dict[str, Any], link: MemoryLink, changes: dict[str, Any]
) -> None:
    simulated, real = (named(values, name, **changes) for name in ("simulated", "real"))
    execute(simulated)
    with pytest.raises(KeyboardInterrupt):  # and so it does when the coordinator is stopped on the way
        over(link, real, observers=[Stop(after=2)]).run()
    over(link, real).run(resume=True)
    assert adapter_bytes(real) == adapter_bytes(simulated)
    assert lines(real) == lines(simulated)


def test_a_site_does_not_say_its_loss_on_a_few_examples(values: dict[str, Any], link: MemoryLink) -> None:
    losses = Losses()
    participation = {"name": "power_of_choice", "count": 2, "drawn": 3, "poll_examples": 3}
    config = named(values, "few", rounds=1, participation=participation)
    with pytest.raises(ShepherdError, match="Only 0 of 3"):
        over(link, config, observers=[losses]).run()
    assert all("poll_examples is 3, and of fewer than 16 examples" in said for _, _, said in losses.heard)


def test_what_a_site_says_that_its_training_cannot_is_dropped_with_its_reason(
    values: dict[str, Any], link: MemoryLink
) -> None:
    honest, losses = link.sites["carla"], Losses()

    def spoilt(asked: Envelope) -> Envelope:
        said = honest(asked)
        if asked.kind != "train":
            return said
        return Envelope(said.kind, said.run, said.round, {**said.body, "said": {"loss": -1.0}}, said.adapter)

    link.sites["carla"] = spoilt
    config = named(values, "said", rounds=1, aggregation={"name": "qfedavg", "lr": 1.0})
    over(link, config, observers=[losses]).run()
    assert [(name, "loss before training is -1" in said) for _, name, said in losses.heard] == [
        ("carla", True)
    ]


def test_what_no_site_would_read_is_refused_before_anybody_is_waited_for(
    values: dict[str, Any], link: MemoryLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shepherd.deploy.wire.LARGEST_BODY", 5000)
    training = {"lr": 1e-2, "batch_size": 4, "correction": "scaffold"}
    config = named(values, "large", aggregation="scaffold", training=training)
    said = r"In round 1, what aggregation\.name=scaffold tells .* bytes, .* at most 5,000; .*name=fedavg"
    with pytest.raises(ShepherdError, match=said):
        over(link, config).run()
    assert link.sent == {}


def test_what_grew_too_large_is_refused_with_every_round_kept(
    values: dict[str, Any], link: MemoryLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = {"name": "fedex"}

    class Bound(Observer):
        def committed(self, state: Any, _: Any) -> None:
            if state.round == 1:
                most = most_bytes({"residual": state.aggregation["residual"]}) + 10_000
                monkeypatch.setattr("shepherd.deploy.wire.LARGEST_BODY", most)

    config = named(values, "grown", aggregation=rule)
    said = (
        r"In round 3, what aggregation\.name=fedex adds to the base's weights has .*name=flexlora or fedavg"
    )
    with pytest.raises(ShepherdError, match=said):
        over(link, config, observers=[Bound()]).run()
    assert [asked.kind for asked in link.sent["anna"]] == ["hello", "train", "train"]
    with pytest.raises(ShepherdError, match=r"In round 3, .*Every committed round is kept\."):
        over(link, config).run(resume=True)
    assert len(link.sent["anna"]) == 3


def test_what_a_stateful_site_keeps_stays_at_the_site(
    values: dict[str, Any], link: MemoryLink, tmp_path: Path
) -> None:
    config = named(values, "kept", training={"lr": 1e-2, "batch_size": 4, "stateful": True})
    over(link, config).run()
    kept = list((tmp_path / "sites" / "anna" / "kept").rglob("training-*.safetensors"))
    assert len(kept) == 3
    assert all(
        file.stat().st_size < 400
        for file in config.run.directory.rglob("checkpoints/clients/**/*.safetensors")
    )
    asked = link.sent["anna"][-1]
    assert asked.body["training"] == "training-000001"
    assert len(asked.buffers()["body"]) < 2000


def test_a_site_that_is_away_is_left_out_and_the_round_goes_on(
    values: dict[str, Any], link: MemoryLink
) -> None:
    losses = Losses()

    class Away(Observer):
        def committed(self, state: Any, _: Any) -> None:
            link.away = {"berta"} if state.round == 1 else set()

    settings = SETTINGS.model_copy(update={"round_timeout_s": 0.3})
    config = named(values, "away")
    over(link, config, settings=settings, observers=[Away(), losses]).run()
    trained = [line["clients"] for line in lines(config) if line["scope"] == "round"]
    assert trained == [3, 2, 3]
    assert [(round, name) for round, name, _ in losses.heard] == [(2, "berta")]
    assert "not connected" in losses.heard[0][2]


def test_too_few_sites_stop_the_run_with_the_last_round_whole(
    values: dict[str, Any], link: MemoryLink
) -> None:
    class Away(Observer):
        def committed(self, state: Any, _: Any) -> None:
            link.away = {"berta", "carla"} if state.round == 1 else set()

    settings = SETTINGS.model_copy(update={"round_timeout_s": 0.2})
    config, whole = named(values, "few"), named(values, "whole")
    with pytest.raises(ShepherdError, match=r"Only 1 of 3 sites answered in round 2.*--resume"):
        over(link, config, settings=settings, observers=[Away()]).run()
    link.away = set()
    over(link, config).run(resume=True)
    over(link, whole).run()
    assert adapter_bytes(config) == adapter_bytes(whole)


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        (lambda e: Envelope(e.kind, e.run, e.round + 1, e.body, e.adapter), "another question"),
        (lambda e: Envelope(e.kind, e.run, e.round, e.body, e.adapter[:-8]), "not a safetensors file"),
        (lambda e: Envelope(e.kind, e.run, e.round, e.body, b"\x80\x04K\x01."), "not a safetensors file"),
        (lambda e: Envelope(e.kind, e.run, e.round, e.body, ten_gigabytes()), "not a safetensors file"),
        (lambda e: Envelope(e.kind, e.run, e.round, e.body, e.adapter + b"0" * 2**21), "more than"),
        (lambda e: Envelope(e.kind, e.run, e.round, {**e.body, "steps": -1}, e.adapter), "'steps'"),
        (lambda e: Envelope(e.kind, e.run, e.round, {"update": 1}, e.adapter), "other fields"),
        (lambda e: Envelope(e.kind, e.run, e.round, {**e.body, "examples": 10**9}, e.adapter), "'examples'"),
        (lambda e: Envelope(e.kind, e.run, e.round, e.body, nan_like(e.adapter)), "not finite"),
    ],
    ids=[
        "another round",
        "cut",
        "pickle",
        "ten gigabytes",
        "too large",
        "negative",
        "fields",
        "weight",
        "NaN",
    ],
)
def test_an_answer_that_no_honest_site_gives_is_dropped_with_its_reason(
    values: dict[str, Any], link: MemoryLink, spoilt: Any, reason: str
) -> None:
    honest, losses = link.sites["carla"], Losses()
    link.sites["carla"] = lambda asked: spoilt(honest(asked)) if asked.kind == "train" else honest(asked)
    config = named(values, "spoilt", rounds=1)
    over(link, config, observers=[losses]).run()
    ((round, name, said),) = losses.heard
    assert (round, name) == (1, "carla")
    assert reason in said


@pytest.mark.parametrize(
    ("means", "reason"),
    [
        (torch.zeros(2, 5), "width 5, not 32"),
        (torch.zeros(21, 32), "21 groups of 20"),
        (torch.full((2, 32), torch.inf), "not finite"),
        ("none", "no matrix"),
    ],
)
def test_a_summary_that_no_honest_site_sends_is_dropped_and_the_run_goes_on(
    values: dict[str, Any], link: MemoryLink, means: Any, reason: str
) -> None:
    honest, losses = link.sites["carla"], Losses()

    def spoilt(asked: Envelope) -> Envelope:
        said = honest(asked)
        return said if asked.kind != "summarise" else asked.answer({**said.body, "message": {"means": means}})

    link.sites["carla"] = spoilt
    config = named(values, "spoilt", rounds=1, coreset=TURBO)
    over(link, config, observers=[losses]).run()
    ((round, name, said),) = losses.heard
    assert (round, name) == (1, "carla")
    assert reason in said
    assert [line["client"] for line in lines(config) if line["scope"] == "client"] == ["anna", "berta"]


def test_a_site_with_other_data_is_not_trained_with_when_the_run_goes_on(
    values: dict[str, Any], link: MemoryLink, files: Path, tmp_path: Path, tiny_base: Path
) -> None:
    losses = Losses()
    config = named(values, "changed", rounds=2)
    with pytest.raises(KeyboardInterrupt):
        over(link, config, observers=[Stop(after=1)]).run()
    changed = tmp_path / "less.jsonl"
    changed.write_text("".join(file_of(files, "berta").read_text().splitlines(keepends=True)[1:]))
    settings = site("berta", files, tmp_path, tiny_base).settings
    link.sites["berta"] = Site(settings, str(changed), tmp_path / "less").answer
    over(link, config, observers=[losses]).run(resume=True)
    assert [(round, name) for round, name, _ in losses.heard] == [(2, "berta")]
    assert "its data is not what it was" in losses.heard[0][2]
    assert link.sent["berta"][-1].kind == "hello"


def test_a_site_that_is_removed_is_not_waited_for(values: dict[str, Any], link: MemoryLink) -> None:
    losses = Losses()

    class Remove(Observer):
        def committed(self, state: Any, _: Any) -> None:
            link.removed = {"berta"}

    settings = SETTINGS.model_copy(update={"round_timeout_s": 1e6})
    config = named(values, "removed", rounds=1)
    over(link, config, settings=settings, observers=[Remove(), losses]).run()
    assert losses.heard == [(1, "berta", "it was removed from the federation, or its key cannot be used")]


def test_rounds_of_too_few_are_refused_before_anybody_is_waited_for(
    values: dict[str, Any], link: MemoryLink
) -> None:
    config = named(values, "tenth", participation={"name": "random"})
    with pytest.raises(ShepherdError, match=r"1 of 3 sites .* is 2: .*set participation\.fraction=1\.0"):
        over(link, config).run()
    assert link.sent == {}
    over(link, config, settings=SETTINGS.model_copy(update={"minimum_updates": 1})).run()


def test_a_site_does_not_train_beyond_the_runs_rounds(values: dict[str, Any], link: MemoryLink) -> None:
    over(link, named(values, "whole", rounds=2)).run()
    asked = [one for one in link.sent["anna"] if one.kind == "train"][-1]
    assert (asked.round, link.sites["anna"](asked).error) == (1, "")
    beyond = Envelope("train", asked.run, 3, asked.body, asked.adapter)
    assert link.sites["anna"](beyond).error == "The message is of round 3, and the run has 2."


def ten_gigabytes() -> bytes:
    """A header of safetensors that announces an array, and nothing after it."""
    size = 10 * 10**9
    header = json.dumps({"a": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header


def nan_like(adapter: bytes) -> bytes:
    from safetensors.torch import load, save

    return save({name: tensor * float("nan") for name, tensor in load(adapter).items()})


def test_a_site_refuses_what_its_owner_does_not_allow(
    values: dict[str, Any], link: MemoryLink, files: Path, tmp_path: Path, tiny_base: Path, caplog: Any
) -> None:
    link.sites["anna"] = site("anna", files, tmp_path, tiny_base, largest_rank=1).answer
    over(link, named(values, "limited", rounds=1)).run()
    assert "Site 'anna' does not take part" in caplog.text
    assert "limits.largest_rank" in caplog.text


def test_what_goes_wrong_at_a_site_crosses_as_the_name_of_its_type(
    link: MemoryLink, values: dict[str, Any], caplog: Any, monkeypatch: Any
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("the patient's name")

    monkeypatch.setattr("shepherd.deploy.site.run_clients", fail)
    with pytest.raises(ShepherdError, match="Only 0 of 3"):
        over(link, named(values, "failing", rounds=1)).run()
    told = [record.message for record in caplog.records if record.name.startswith("shepherd.deploy.backend")]
    assert any("ZeroDivisionError" in line for line in told)
    assert not any("patient" in line for line in told)


def test_sites_evaluate_where_the_coordinator_has_no_hold_out(
    values: dict[str, Any], link: MemoryLink
) -> None:
    holdout = {"name": "fraction", "fraction": 0.2}
    changes = {"allocation": {"name": "iid", "clients": 3}, "data": {**values["data"], "holdout": holdout}}
    config = (
        named(values, "federated evaluation", **changes) if False else named(values, "evaluated", **changes)
    )
    over(link, config).run()
    first, *_, last = [line for line in lines(config) if line["scope"] == "global"]
    assert set(last["loss_by_client"]) == set(NAMES)
    assert last["loss"] < first["loss"]
    assert last["examples"] == 12


def test_a_question_that_is_asked_again_is_not_trained_on_again(
    values: dict[str, Any], link: MemoryLink, monkeypatch: Any
) -> None:
    from shepherd.deploy import site as site_module

    trained: list[str] = []
    train = site_module.run_clients

    def counted(jobs: Any, views: Any, *rest: Any) -> Any:
        trained.append(views[0].name)
        return train(jobs, views, *rest)

    monkeypatch.setattr(site_module, "run_clients", counted)
    honest = link.sites["anna"]
    link.sites["anna"] = lambda asked: (honest(asked), honest(asked))[
        1
    ]  # the first answer was lost on its way
    over(link, named(values, "again", rounds=2)).run()
    assert trained.count("anna") == 2
