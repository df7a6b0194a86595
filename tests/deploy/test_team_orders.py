"""What the first process of a site orders: everybody's training, a client's own, and nothing that cannot be done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import team_site
import torch
from beside import team_of_two
from safetensors.torch import load
from site_files import file_of, write_site_files

from shepherd.config import parse_config
from shepherd.deploy.messages import Told
from shepherd.deploy.shared import shared_config
from shepherd.deploy.team import Team
from shepherd.deploy.wire import Envelope
from shepherd.model.adapter import Adapter
from shepherd.tree import from_bytes
from tiny_runs import tiny_values

TRAINING = {"lr": 1e-2, "batch_size": 6}


@pytest.fixture
def values(tiny_base: Path, tmp_path: Path, tokenizer: Any) -> Any:
    """Return what a site is, and what it is asked, with whole sections of the config changed."""

    def given(**changes: Any) -> dict[str, Any]:
        config = parse_config(tiny_values(tiny_base, tmp_path, **{"training": TRAINING, **changes}))
        data = file_of(write_site_files(tmp_path), "anna")
        told = shared_config(config, tokenizer, own_holdout=True)
        return {"base": str(tiny_base), "data": str(data), "config": told}

    return given


def own_adapters(folder: Path) -> list[torch.Tensor]:
    """Return the adapters of its own that a site has kept, round by round."""
    return [
        from_bytes(file.read_bytes())["personal"]
        for file in sorted((folder / "kept").rglob("training-*.safetensors"))
    ]


@pytest.mark.parametrize("epochs", [None, 2])
def test_a_clients_own_adapter_is_trained_together_too(
    values: Any, epochs: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = values(personalisation={"name": "ditto", "lam": 0.5, "epochs": epochs})
    alone = team_site.answers(given, tmp_path / "alone", Team())
    with team_of_two(team_site.site_of(given, tmp_path / "together"), monkeypatch) as (team, orders):
        together = team_site.answers(given, tmp_path / "together", team)
    assert [order.get("engine") for order in orders] == [None, 0, 1, 0, 1, None]
    for one, other in zip(alone, together, strict=True):
        wanted, found = (Adapter(load(answer.adapter)) for answer in (one, other))
        assert (found - wanted).norm() < 1e-5 * wanted.norm()
    kept, same = own_adapters(tmp_path / "alone"), own_adapters(tmp_path / "together")
    assert len(kept) == len(same) == 2
    for wanted_vector, found_vector in zip(kept, same, strict=True):
        assert (found_vector - wanted_vector).norm() < 1e-5 * wanted_vector.norm()


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({}, "as everybody's control variate is not the "),
        ({"control": torch.zeros(3)}, "float32 values that the aggregation needs"),
        ({"control": "none"}, "float32 values"),
        ({"control": torch.nan}, "float32 values"),
    ],
    ids=["nothing", "short", "text", "number"],
)
def test_a_team_is_told_nothing_that_cannot_be_trained_by_and_lives_on(
    values: Any, told: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = values(aggregation="scaffold", training={**TRAINING, "correction": "scaffold"})
    site = team_site.site_of(given, tmp_path / "site")
    with team_of_two(team_site.site_of(given, tmp_path / "site"), monkeypatch) as (team, orders):
        site.team = team
        assert not site.answer(Envelope("hello", "a", 0, Told(given["config"], 1, 0).to_tree())).error
        start = site._ready[1].model.initial

        def trained(told: dict[str, Any]) -> Envelope:
            body = Told(given["config"], 1, 0, told=told).to_tree()
            return site.answer(Envelope("train", "a", 0, body, start.to_bytes()))

        assert said in trained(told).error
        assert [order["do"] for order in orders] == ["prepare"]
        assert not team.broken
        assert not trained({"control": torch.zeros_like(start.vector)}).error
        assert [order["do"] for order in orders] == ["prepare", "train"]


def test_what_was_kept_under_another_config_is_not_taken_up(values: Any, tmp_path: Path) -> None:
    stateful = {"training": {**TRAINING, "stateful": True}}
    given = values(**stateful)
    site = team_site.site_of(given, tmp_path / "site")

    def trained(config: dict[str, Any], kept: str) -> Envelope:
        hello = Envelope("hello", "a", 0, Told(config, 1, 0).to_tree())
        assert not site.answer(hello).error
        start = site._ready[1].model.initial
        body = Told(config, 1, 0, training=kept).to_tree()
        return site.answer(Envelope("train", "a", 0, body, start.to_bytes()))

    assert trained(given["config"], "").body["kept"] == "training-000000"
    larger = values(**stateful, adapter={"name": "lora", "rank": 3})
    assert "no longer has what it kept" in trained(larger["config"], "training-000000").error
    assert not trained(given["config"], "training-000000").error
