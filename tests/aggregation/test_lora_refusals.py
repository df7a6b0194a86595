"""What LoRA's rules cannot serve is refused when the config is read, and the rules that can are named."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from shepherd.aggregation import RULES, FedEx, FedSVD, FlexLoRA, FLoRA, HetLoRA
from shepherd.capacity import Capacity, Configuration
from shepherd.config import RunConfig, parse_config
from shepherd.errors import ShepherdError
from shepherd.model.adapter import Adapter
from shepherd.model.role import Role

LORA_RULES = {rule.model_fields["name"].default for rule in RULES if rule.lora_only}


class Mixing(Capacity):
    """Clients of different ranks."""

    name: str = "mixing"
    mixes_them: bool = True

    def configuration(self, client: int, name: str, size: int, seed: int) -> Configuration:
        return Configuration(rank=1 + client % 2)

    @property
    def mixes(self) -> bool:
        return self.mixes_them


def refused(**changes: Any) -> str:
    with pytest.raises(ShepherdError) as refusal:
        parse_config(changes)
    return str(refusal.value)


def named(message: str) -> set[str]:
    """Return the rules that a refusal offers."""
    return set(re.split(r", |\.", message.rpartition(": ")[2])) - {""}


@pytest.mark.parametrize("rule", ["fedex", "flora"])
def test_a_quantised_base_takes_nothing_that_is_added(rule: str) -> None:
    message = refused(aggregation=rule, model={"quantisation": "4bit"})
    assert f"aggregation.name={rule} adds to the base's weights, which a 4bit base cannot take" in message
    assert {"fedavg", "flexlora", "ffa"} <= named(message)
    assert not {"fedex", "flora"} & named(message)


@pytest.mark.parametrize("rule", sorted(LORA_RULES))
def test_another_adapter_than_lora_has_no_factors(rule: str) -> None:
    message = refused(aggregation=rule, adapter="dora")
    assert "needs an adapter of LoRA's A and B and nothing else, and adapter.name=dora is another" in message
    assert "set adapter.name=lora, or choose another aggregation: " in message
    assert "fedavg" in named(message)
    assert not named(message) & LORA_RULES
    assert "measure_error" in refused(aggregation={"measure_error": True}, adapter="dora")


def test_mixed_ranks_need_a_rule_that_puts_them_together() -> None:
    with pytest.raises(ValueError, match=r"cannot put together adapters of different sizes.*: .*flora"):
        RunConfig(capacity=Mixing(), aggregation=FedEx())
    for rule in (FLoRA(), FlexLoRA(), HetLoRA()):
        assert RunConfig(capacity=Mixing(), aggregation=rule).capacity.mixes


@pytest.mark.parametrize("rule", ["flexlora", "florist", "fedsvd", "fedex", "flora", "rolora"])
def test_updates_of_older_adapters_do_not_fit_new_factors(rule: str) -> None:
    system = {"name": "fedbuff", "concurrency": 3, "buffer": 2}
    message = refused(aggregation=rule, system=system)
    assert f"aggregation.name={rule} cannot use updates of older adapters" in message
    assert {"fedavg", "ffa", "hetlora"} <= named(message)


def test_what_is_never_averaged_has_no_error_of_averaging() -> None:
    said = refused(aggregation={"name": "fedsa", "measure_error": True})
    assert "under aggregation.name=fedsa B stays at its client; leave it out" in said


@pytest.mark.parametrize("tau", [0, -0.5, 1.5])
def test_an_energy_is_a_share(tau: float) -> None:
    assert "tau" in refused(aggregation={"name": "florist", "tau": tau})
    assert "residual_rank" in refused(aggregation={"name": "fedex", "residual_rank": 0})


@pytest.mark.parametrize(
    "rule", [FedEx(), FLoRA(), FlexLoRA(), HetLoRA(), FedSVD()], ids=lambda rule: rule.name
)
def test_a_tensor_that_is_no_factor_is_named_before_the_first_round(rule: Any) -> None:
    odd = Adapter({"embed_tokens.lora_embedding_A": torch.zeros(2, 3)})
    with pytest.raises(ShepherdError, match=r"'embed_tokens.lora_embedding_A' is neither.*adapter.targets"):
        rule.init(odd, 3)


def test_what_a_round_does_with_each_factor() -> None:
    a, b = "m.lora_A.weight", "m.lora_B.weight"

    def roles(name: str, round: int) -> tuple[Role, Role]:
        rule = parse_config({"aggregation": name}).aggregation
        return rule.role(a, round), rule.role(b, round)

    assert roles("ffa", 3) == (Role.FROZEN, Role.SHARED)
    assert roles("rolora", 0) == (Role.RESTING, Role.SHARED)
    assert roles("rolora", 1) == (Role.SHARED, Role.RESTING)
    assert roles("fedsa", 1) == (Role.SHARED, Role.OWN)
    assert roles("fedsvd", 1) == (Role.RESTING, Role.SHARED)
    assert roles("flora", 1) == (Role.SHARED, Role.SHARED)
