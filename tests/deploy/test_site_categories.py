"""Sites that tell which categories they have, where their owners allow it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from memory_link import MemoryLink
from site_files import NAMES, all_sites, file_of, site, write_site_files

from shepherd.config import parse_config
from shepherd.data.instructions import read_instructions
from shepherd.deploy.coordinator import Coordinator
from shepherd.deploy.joining import Membership
from shepherd.deploy.proposed_limits import proposed_limits
from shepherd.deploy.settings import FederationSettings
from shepherd.errors import ShepherdError
from shepherd.runs import execute
from tiny_runs import Stop, adapter_bytes, named, tiny_values

SETTINGS = FederationSettings(
    federation="0" * 16, name="test", host="localhost", join_timeout_s=5, round_timeout_s=5, minimum_sites=2
)
ASKING = {"participation": {"name": "coverage", "count": 2, "drawn": 3}}


@pytest.fixture
def values(tiny_base: Path, tmp_path: Path) -> dict[str, Any]:
    """A tiny run of two rounds over three clients."""
    (tmp_path / "clients").mkdir()
    files = write_site_files(tmp_path / "clients")
    return {**tiny_values(tiny_base, tmp_path, **all_sites(files)), "rounds": 2}


def sites(tmp_path: Path, base: Path, **limits: Any) -> MemoryLink:
    return MemoryLink(
        {name: site(name, tmp_path / "clients", tmp_path / "sites", base, **limits).answer for name in NAMES}
    )


def test_sites_that_tell_their_categories_give_the_simulators_adapter(
    values: dict[str, Any], tmp_path: Path, tiny_base: Path
) -> None:
    simulated, real = (named(values, place, **ASKING) for place in ("simulated", "real"))
    execute(simulated)
    link = sites(tmp_path, tiny_base, categories_told=True)
    with pytest.raises(KeyboardInterrupt):
        Coordinator(real, SETTINGS, link, NAMES, poll_s=0.001, observers=[Stop(after=1)]).run()
    Coordinator(real, SETTINGS, link, NAMES, poll_s=0.001).run(resume=True)
    assert adapter_bytes(real) == adapter_bytes(simulated)
    members = Membership.read(real.run.directory)
    assert members is not None
    for site_name, told in zip(members.names, members.categories, strict=True):
        own = read_instructions(str(file_of(tmp_path / "clients", site_name)))
        assert told == Counter(own.categories().tolist())


def test_a_site_tells_them_only_if_its_owner_allows_it(
    values: dict[str, Any], tmp_path: Path, tiny_base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = named(values, **ASKING)
    with pytest.raises(ShepherdError, match="Only 0 of 3 sites joined"):
        Coordinator(config, SETTINGS, sites(tmp_path, tiny_base), NAMES, poll_s=0.001).run()
    assert "limits.categories_told in its site.yaml is false" in caplog.text


def test_they_are_not_told_to_a_run_that_does_not_ask(
    values: dict[str, Any], tmp_path: Path, tiny_base: Path
) -> None:
    config = named(values)
    Coordinator(config, SETTINGS, sites(tmp_path, tiny_base, categories_told=True), NAMES, poll_s=0.001).run()
    members = Membership.read(config.run.directory)
    assert members is not None
    assert members.categories == [{}, {}, {}]


@pytest.mark.parametrize("asks", [True, False])
def test_a_run_that_asks_proposes_to_its_sites_to_tell(values: dict[str, Any], asks: bool) -> None:
    changes = ASKING if asks else {}
    assert proposed_limits(parse_config({**values, **changes})).categories_told == asks


def test_no_site_counts_by_the_categories_it_says_it_has(
    values: dict[str, Any], tmp_path: Path, tiny_base: Path
) -> None:
    link = sites(tmp_path, tiny_base, categories_told=True)
    config = named(values, aggregation="group_weighted")
    with pytest.raises(ShepherdError, match=r"name the sites of each group in aggregation\.groups"):
        Coordinator(config, SETTINGS, link, NAMES, poll_s=0.001).run()
    assert link.sent == {}


def test_categories_that_no_message_takes_are_said_by_the_site(
    values: dict[str, Any], tmp_path: Path, tiny_base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = file_of(tmp_path / "clients", "anna")
    lines = [{**json.loads(line), "category": "open\tqa"} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    Coordinator(
        named(values, participation={"name": "coverage", "count": 2}),
        SETTINGS,
        sites(tmp_path, tiny_base, categories_told=True),
        NAMES,
        poll_s=0.001,
    ).run()
    assert "'anna' does not take part: the run asks how many examples of each category" in caplog.text
    assert "not printable" in caplog.text
