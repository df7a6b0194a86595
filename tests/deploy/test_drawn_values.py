"""What sites draw themselves and are never sent: alike on any processor, unlike by another generator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import team_site
import torch
from site_files import file_of, write_site_files

from shepherd.aggregation import FFA, Aggregation, FedAvg, FedSA
from shepherd.config import parse_config
from shepherd.deploy.drawn import are_alike, drawn_values
from shepherd.deploy.messages import Told
from shepherd.deploy.shared import shared_config
from shepherd.deploy.wire import Envelope
from shepherd.model.adapted import AdaptedModel
from shepherd.model.adapter import Adapter
from shepherd.model.base import BaseModelConfig, load_base
from shepherd.model.kinds import AdapterKind, KSeed, Lora, LoraSB
from tiny_runs import tiny_values


def drawn(
    base: Path, kind: AdapterKind, rule: Aggregation, seed: int = 0, dtype: Any = "float32"
) -> list[float]:
    model = AdaptedModel(load_base(BaseModelConfig(base=str(base), dtype=dtype)), kind, seed)
    return drawn_values(model, rule)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_one_seed_is_one_draw_and_another_is_not(tiny_base: Path, dtype: str) -> None:
    values = drawn(tiny_base, Lora(rank=2), FFA(), dtype=dtype)
    assert len(values) == 16
    assert are_alike(values, drawn(tiny_base, Lora(rank=2), FFA(), dtype=dtype))
    assert not are_alike(values, drawn(tiny_base, Lora(rank=2), FFA(), seed=1, dtype=dtype))
    assert not are_alike(values, [])


def test_where_everything_is_sent_there_is_nothing_to_compare(tiny_base: Path) -> None:
    assert drawn(tiny_base, Lora(rank=2), FedAvg()) == drawn(tiny_base, Lora(rank=2), FedSA()) == []
    assert are_alike([], [])


def test_directions_are_compared_and_not_the_pool(tiny_base: Path) -> None:
    values = drawn(tiny_base, KSeed(seeds=4), FedAvg())
    assert are_alike(values, drawn(tiny_base, KSeed(seeds=4), FedAvg(), seed=1))
    assert not are_alike(values, drawn(tiny_base, KSeed(seeds=4, directions=1), FedAvg()))


@pytest.mark.parametrize("directions", ["random", "base"])
def test_fixed_factors_are_compared(tiny_base: Path, directions: Any) -> None:
    kind = LoraSB(rank=2, directions=directions)
    values = drawn(tiny_base, kind, FedAvg())
    assert len(values) == 16
    assert are_alike(values, drawn(tiny_base, kind, FedAvg()))
    assert not are_alike(values, drawn(tiny_base, LoraSB(rank=2), FedAvg(), seed=1))


def test_processors_differ_in_the_last_bit_and_in_what_bfloat16_makes_of_it() -> None:
    values = torch.linspace(-1, 1, 16) * 0.03
    last_bit = torch.nextafter(values, torch.tensor(1.0))
    assert are_alike(values.tolist(), last_bit.tolist())
    assert are_alike(values.tolist(), values.bfloat16().float().tolist())
    assert not are_alike(values.tolist(), (values + 0.001 * (torch.arange(16) == 3)).tolist())


def test_a_site_whose_torch_is_another_since_it_joined_does_not_train(
    tiny_base: Path, tmp_path: Path, tokenizer: Any
) -> None:
    config = parse_config(tiny_values(tiny_base, tmp_path, aggregation="ffa"))
    told = shared_config(config, tokenizer, own_holdout=True)
    data = str(file_of(write_site_files(tmp_path), "anna"))
    site = team_site.site_of({"base": str(tiny_base), "data": data}, tmp_path / "site")
    said = site.answer(Envelope("hello", "a", 0, Told(told, 1, 0).to_tree())).body
    assert len(said["drawn"]) == 16
    model = site._ready[1].model
    trained = Adapter({name: tensor for name, tensor in model.initial.items() if ".lora_B." in name})

    def train(values: list[float]) -> Envelope:
        return site.answer(
            Envelope("train", "a", 0, Told(told, 1, 0, drawn=values).to_tree(), trained.to_bytes())
        )

    assert not train(said["drawn"]).error
    other = drawn(tiny_base, Lora(rank=2), FFA(), seed=1)
    assert "draws other random values from the run's seed than when it joined" in train(other).error
