"""The limits that a coordinator proposes: the run that they were made for is allowed by them."""

from __future__ import annotations

from typing import Any

import pytest

from shepherd.config import parse_config
from shepherd.deploy.limits import check_allowed
from shepherd.deploy.measured_limits import check_adapter
from shepherd.deploy.proposed_limits import proposed_limits
from shepherd.deploy.settings import Limits
from shepherd.model.adapted import AdaptedModel
from shepherd.model.base import load_base


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({}, 1.0),
        ({"training": {"epochs": 20}}, 20.0),
        ({"training": {"steps": 4}}, 10.0),
        ({"personalisation": {"name": "ditto", "epochs": 3}}, 3.0),
        ({"personalisation": {"name": "ditto", "epochs": 30}, "training": {"steps": 4}}, 30.0),
        ({"personalisation": {"name": "fine_tune", "epochs": 30}}, 1.0),
    ],
    ids=str,
)
def test_a_run_is_within_the_limits_that_are_proposed_for_it(
    changes: dict[str, Any], passes: float, tiny_base: Any
) -> None:
    config = parse_config({"model": {"base": str(tiny_base)}, "data": {"prompt": "plain"}, **changes})
    limits = proposed_limits(config)
    check_allowed(config, limits, 3)
    assert limits.most_local_epochs == passes


def test_the_adapters_size_is_proposed_where_it_is_larger_than_usual(
    tiny_base: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = parse_config({"model": {"base": str(tiny_base)}, "data": {"prompt": "plain"}})
    assert proposed_limits(config).largest_adapter_mb == Limits().largest_adapter_mb
    size = AdaptedModel(load_base(config.model), config.adapter, config.seed).initial.wire_bytes
    monkeypatch.setattr(
        "shepherd.deploy.proposed_limits.Limits",
        lambda **given: Limits(**{"largest_adapter_mb": 1e-6, **given}),
    )
    limits = proposed_limits(config)
    check_adapter(size, limits)
    assert limits.largest_adapter_mb == 1
