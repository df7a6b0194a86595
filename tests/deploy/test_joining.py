"""Who takes part: too few, another base, another release, other data on resuming. No model is loaded for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from memory_link import MemoryLink

from shepherd.deploy.exchange import Patience
from shepherd.deploy.joining import Expected, Membership, join
from shepherd.deploy.messages import Introduction
from shepherd.deploy.shared import layout_digest
from shepherd.deploy.wire import Envelope
from shepherd.errors import ShepherdError
from shepherd.machine import versions
from shepherd.model.adapter import Adapter

LAYOUT = Adapter({"a": torch.zeros(2)}).layout
MODEL: Any = SimpleNamespace(base=SimpleNamespace(fingerprint="the base"), layout=LAYOUT)
EXPECTED = Expected(MODEL, [0.5, -0.25000003])  # drawn by another processor
HONEST = Introduction(
    examples=20,
    truncated=0,
    held_out=2,
    categories={},
    data="its data",
    base="the base",
    layout=layout_digest(LAYOUT),
    drawn=[0.5, -0.25],
    versions=versions(),
    threads=1,
    device="cpu",
)
PATIENCE = Patience(seconds=0.2, poll_s=0.001)


def says(said: Introduction) -> Callable[[Envelope], Envelope]:
    return lambda asked: asked.answer(asdict(said))


@pytest.fixture
def link() -> MemoryLink:
    """Three sites that fit, the last of them first."""
    sites = {
        name: replace(HONEST, examples=20 + place) for place, name in enumerate(("carla", "berta", "anna"))
    }
    return MemoryLink({name: says(said) for name, said in sites.items()})


def joined(link: MemoryLink, minimum: int = 2, begun: Membership | None = None) -> Membership:
    return join(link, ["anna", "berta", "carla"], {"rounds": 3}, EXPECTED, PATIENCE, begun, minimum)


def test_whoever_fits_takes_part_in_the_order_of_the_federation(link: MemoryLink, tmp_path: Path) -> None:
    members = joined(link)
    assert members.names == ["anna", "berta", "carla"]
    assert members.sizes == [22, 21, 20]
    asked = link.sent["berta"][0]
    assert (asked.kind, asked.run, asked.adapter) == ("hello", members.run, b"")
    assert (asked.body["config"], asked.body["sites"]) == ({"rounds": 3}, 3)
    assert Membership.read(tmp_path) is None
    members.write(tmp_path)
    assert Membership.read(tmp_path) == members


def test_too_few_are_named(link: MemoryLink) -> None:
    link.away = {"anna", "carla"}
    said = r"Only 1 of 3 sites joined, and minimum_sites .* is 2 \(missing: anna, carla; .*\)\."
    with pytest.raises(ShepherdError, match=said):
        joined(link)
    assert joined(link, minimum=1).names == ["berta"]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"base": "another"}, "its base model has other weights"),
        ({"layout": "another"}, "compare the releases of peft"),
        (
            {"drawn": [0.5, 0.25], "versions": {**versions(), "torch": "2.6.0"}},
            "it draws other random values .* the same versions of torch and peft on both .it has 2.6.0 and ",
        ),
        ({"drawn": []}, "it draws other random values"),
        ({"drawn": [0.5, "-0.25"]}, "'drawn' that is no"),
        ({"drawn": [0.5] * 65}, "'drawn' that is no"),
        ({"examples": 0}, "it has no examples to train on"),
        ({"versions": {"shepherd": "0.0.9"}}, "it has fedshepherd 0.0.9, and the coordinator"),
        ({"versions": {}}, r"it has fedshepherd \?, and"),
        ({"versions": {"shepherd": "9" + "x" * 99}}, r"it has fedshepherd 9x{19}, and"),
        ({"versions": {"shepherd": "9\x1b[2J"}}, "'versions' that is no"),
        ({"examples": -1}, "'examples'"),
        ({"categories": {"open_qa": 20}}, "it says of its categories what is not so, or was not asked"),
        ({"categories": {"secret": 0}}, "it says of its categories what is not so, or was not asked"),
        ({"categories": {"open_qa": -1}}, "'categories' that is no"),
        ({"categories": {"open\x1bqa": 20}}, "'categories' that is no"),
    ],
)
def test_who_does_not_fit_is_left_out_and_said_why(
    link: MemoryLink, said: dict[str, Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    link.sites["berta"] = says(replace(HONEST, **said))
    assert joined(link).names == ["anna", "carla"]
    (record,) = caplog.records
    assert record.message.startswith("Site 'berta' does not take part: ")
    assert re.search(reason, record.message)
    with pytest.raises(ShepherdError, match="Only 2 of 3"):
        joined(link, minimum=3)


def test_a_site_that_refuses_is_quoted(link: MemoryLink, caplog: pytest.LogCaptureFixture) -> None:
    link.sites["berta"] = lambda asked: asked.refusal("adapter.rank is 65.")
    joined(link)
    assert caplog.messages == ["Site 'berta' does not take part: adapter.rank is 65."]


def test_on_resuming_the_same_sites_keep_their_numbers(
    link: MemoryLink, caplog: pytest.LogCaptureFixture
) -> None:
    link.away = {"berta"}
    begun = joined(link)
    link.away = {"anna"}
    caplog.clear()
    resumed = joined(link, minimum=1, begun=begun)
    assert resumed == begun
    (said,) = caplog.messages
    assert said.startswith(
        "Site 'anna' has not joined, and is asked in the rounds all the same: it was not conn"
    )
    assert set(link.sent) == {"anna", "carla"}  # who was not there at the beginning is not asked
    assert link.sent["carla"][1].run == begun.run
    assert link.sent["carla"][1].body["sites"] == 2


def test_on_resuming_other_data_is_refused(link: MemoryLink, caplog: pytest.LogCaptureFixture) -> None:
    begun = joined(link)
    link.sites["berta"] = says(replace(HONEST, data="other data", examples=21))
    with pytest.raises(ShepherdError, match=r"Only 2 of 3 .*missing: berta"):
        joined(link, minimum=3, begun=begun)
    assert "its data is not what it was when the run began" in caplog.text


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"data": "other data"}, "its data is not what it was"),
        ({"base": "another"}, "its base model has other weights"),
        ({"versions": {"shepherd": "0.0.9"}}, "it has fedshepherd 0.0.9"),
    ],
)
def test_who_no_longer_fits_is_left_out_but_keeps_its_number(
    link: MemoryLink, said: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    begun = joined(link)
    link.sites["berta"] = says(replace(HONEST, **said))
    link.away = {"anna"}
    resumed = joined(link, minimum=1, begun=begun)
    assert resumed.names == begun.names
    assert list(resumed.refused) == ["berta"]  # who is away is waited for
    assert resumed.refused["berta"].startswith(reason)
    resumed.write(tmp_path)
    assert Membership.read(tmp_path) == begun


def test_a_run_of_few_may_be_resumed_by_as_few(link: MemoryLink) -> None:
    link.away = {"berta", "carla"}
    begun = joined(link, minimum=1)
    assert joined(link, minimum=3, begun=begun) == begun


def test_a_site_that_was_removed_is_not_asked_on_resuming(link: MemoryLink) -> None:
    begun = joined(link)
    link.sent.clear()
    assert join(link, ["anna", "carla"], {}, EXPECTED, PATIENCE, begun, 2) == begun
    assert set(link.sent) == {"anna", "carla"}
    with pytest.raises(ShepherdError, match=r"Only 2 of 3 .*missing: berta"):
        join(link, ["anna", "carla"], {}, EXPECTED, PATIENCE, begun, 3)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"run": "a"}', '{"run": "a", "sites": {"anna": {"examples": 1}}}', '{"sites": 3}'],
)
def test_a_damaged_list_is_one_sentence(content: str, tmp_path: Path) -> None:
    (tmp_path / "federation.json").write_text(content)
    with pytest.raises(ShepherdError, match="is damaged and cannot be read; restore it"):
        Membership.read(tmp_path)
