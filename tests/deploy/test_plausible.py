"""Counts that cannot be true are refused: a mean weighs by them."""

from __future__ import annotations

from typing import Any

import pytest

from shepherd.config import RunConfig, parse_config
from shepherd.deploy.messages import Summary, Trained
from shepherd.deploy.plausible import Plausible
from shepherd.deploy.refusal import Refused

HONEST = {"selected": 20, "examples": 20, "tokens": 400, "response_tokens": 300, "steps": 3}
FIGURES = {
    "train_loss": 2.0,
    "train_loss_rms": 2.1,
    "update_norm": 0.1,
    "seconds": 1.0,
    "kept": "",
    "said": {},
}


def check(config: RunConfig, **counts: Any) -> None:
    Plausible(config, [5, 20]).check_trained(1, Trained(**{**FIGURES, **HONEST, **counts}))


def config(**training: Any) -> RunConfig:
    return parse_config({"data": {"max_tokens": 64}, "training": {"batch_size": 8, **training}})


def test_what_an_honest_site_says_is_taken() -> None:
    check(config())
    check(config(), selected=7, examples=7)
    check(config(epochs=2.5), examples=50)
    check(config(steps=10), examples=80)
    check(config(), kept="training-000012")
    check(config(name="dpo"), tokens=2 * 20 * 64)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"selected": 21, "examples": 21}, "'selected' is 21, .* the 20 examples that it has"),
        ({"examples": 21}, "'examples' is 21, .* the 20 that"),
        ({"tokens": 20 * 64 + 1}, "'tokens' is 1,281, .* the 1,280 that"),
        ({"response_tokens": 401}, "'response_tokens' is 401, .* the 400 tokens in all"),
        ({"train_loss_rms": 1e30}, "the loss is 1e\\+30, and that cannot be"),
        ({"train_loss_rms": -1.0}, "the loss is -1, and that cannot be"),
        ({"kept": "training-" + "0" * 10**6}, "what it kept of 'training'"),
        ({"kept": "coreset-000001"}, "what it kept of 'training'"),
        ({"seconds": -1.0}, "took -1 seconds, and that cannot be"),
        ({"seconds": 1e308}, r"took 1e\+308 seconds, and that cannot be"),
        ({"update_norm": -0.1}, "norm of its update is -0.1, and that cannot be"),
    ],
)
def test_what_cannot_be_is_refused(counts: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        check(config(), **counts)


@pytest.mark.parametrize(("kept", "lasting"), [("../x", ""), ("lasting-000001", ""), ("", "x" * 10**6)])
def test_names_that_no_site_gives_are_refused_in_a_summary(kept: str, lasting: str) -> None:
    said = Summary({}, kept, lasting, 1.0)
    with pytest.raises(Refused, match="as no site does"):
        Plausible(config(), [5, 20]).check_summary(1, "berta", said)


def test_a_summary_that_took_no_time_there_is_is_refused() -> None:
    with pytest.raises(Refused, match="that cannot be"):
        Plausible(config(), [5, 20]).check_summary(1, "berta", Summary({}, "", "", -1.0))
