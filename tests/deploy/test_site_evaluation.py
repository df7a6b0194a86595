"""Evaluating where the data is: whoever answers nonsense is left out, and named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from memory_link import MemoryLink

from shepherd.config import RunConfig
from shepherd.deploy.coordinator import SiteEvaluation
from shepherd.deploy.exchange import Patience
from shepherd.deploy.joining import Membership
from shepherd.deploy.messages import Introduction
from shepherd.deploy.wire import Envelope
from shepherd.errors import ShepherdError
from shepherd.model.adapter import Adapter

HONEST = {"loss": 2.0, "tokens": 30, "examples": 3, "seconds": 0.1}


def says(**changes: Any) -> Callable[[Envelope], Envelope]:
    return lambda asked: asked.answer({**HONEST, **changes})


def evaluated(sites: dict[str, Any], **refused: str) -> dict[str, Any]:
    said = Introduction(9, 0, 3, {}, "data", "base", "layout", [], {}, 1, "cpu")
    members = Membership("run", dict.fromkeys(sites, said), refused)
    config = RunConfig(rounds=1)
    evaluation = SiteEvaluation(config, MemoryLink(sites), members, {}, Patience(0.2, poll_s=0.001))
    line = evaluation(Adapter({"a": torch.zeros(2)}), 1, {})
    assert line is not None
    return line


def test_the_loss_is_over_all_tokens() -> None:
    line = evaluated({"anna": says(), "berta": says(loss=5.0, tokens=60)})
    assert line["loss"] == pytest.approx((2 * 30 + 5 * 60) / 90)
    assert (line["tokens"], line["examples"]) == (90, 6)
    assert line["loss_by_client"] == {"anna": 2.0, "berta": 5.0}


@pytest.mark.parametrize(
    "odd",
    [
        says(loss=float("nan")),
        says(loss=1e308),
        says(tokens=-1),
        says(tokens=2**62),
        says(examples=4),
        says(more=1),
        lambda asked: asked.refusal("no hold-out."),
    ],
)
def test_who_answers_nonsense_is_left_out(odd: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert evaluated({"anna": says(), "berta": odd})["loss_by_client"] == {"anna": 2.0}
    (record,) = caplog.records
    assert record.message.startswith("Site 'berta' does not evaluate after round 1: ")
    with pytest.raises(ShepherdError, match="No site evaluated"):
        evaluated({"berta": odd})


def test_what_no_site_would_read_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shepherd.deploy.wire.LARGEST_BODY", 4000)
    link, said = (
        MemoryLink({"anna": says()}),
        Introduction(9, 0, 3, {}, "data", "base", "layout", [], {}, 1, "cpu"),
    )
    told = {"aggregation": {"name": "fedex"}, "coreset": {"name": "full"}}
    members, patience = Membership("run", {"anna": said}), Patience(0.2, poll_s=0.001)
    evaluation = SiteEvaluation(RunConfig(rounds=1), link, members, told, patience)
    factors = {"q_proj": {"left": torch.zeros(500, 1), "right": torch.zeros(1, 500)}}
    with pytest.raises(ShepherdError, match=r"what aggregation\.name=fedex adds to the base's weights"):
        evaluation(Adapter({"a": torch.zeros(2)}), 1, factors)
    assert link.sent == {}


def test_who_no_longer_fits_is_not_asked(caplog: pytest.LogCaptureFixture) -> None:
    sites = {"anna": says(), "berta": says(loss=5.0)}
    assert evaluated(sites, berta="its data changed.")["loss_by_client"] == {"anna": 2.0}
    assert caplog.messages == ["Site 'berta' does not evaluate after round 1: its data changed."]
