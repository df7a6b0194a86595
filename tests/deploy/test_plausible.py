"""Counts that cannot be true are refused: a mean weighs by them."""

from __future__ import annotations

from typing import Any

import pytest

from shepherd.config import RunConfig, parse_config
from shepherd.deploy.messages import Trained
from shepherd.deploy.plausible import Plausible
from shepherd.deploy.refusal import Refused

HONEST = {"selected": 20, "examples": 20, "tokens": 400, "response_tokens": 300, "steps": 3}
FIGURES = {"train_loss": 2.0, "update_norm": 0.1, "seconds": 1.0, "kept": ""}


def check(config: RunConfig, **counts: Any) -> None:
    Plausible(config, [5, 20]).check_trained(1, Trained(**{**FIGURES, **HONEST, **counts}))


def config(**training: Any) -> RunConfig:
    return parse_config({"data": {"max_tokens": 64}, "training": {"batch_size": 8, **training}})


def test_what_an_honest_site_says_is_taken() -> None:
    check(config())
    check(config(), selected=7, examples=7)
    check(config(epochs=2.5), examples=50)
    check(config(steps=10), examples=80)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"selected": 21, "examples": 21}, "'selected' is 21, .* the 20 examples that it has"),
        ({"examples": 21}, "'examples' is 21, .* the 20 that"),
        ({"tokens": 20 * 64 + 1}, "'tokens' is 1,281, .* the 1,280 that"),
        ({"response_tokens": 401}, "'response_tokens' is 401, .* the 400 tokens in all"),
    ],
)
def test_what_cannot_be_is_refused(counts: dict[str, int], said: str) -> None:
    with pytest.raises(Refused, match=said):
        check(config(), **counts)
