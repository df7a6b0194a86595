"""Sites that tell which categories they have, where their owners allow it."""

from __future__ import annotations

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
ASKING: dict[str, dict[str, Any]] = {
    "coverage": {"participation": {"name": "coverage", "count": 2, "drawn": 3}},
    "group_weighted": {"aggregation": "group_weighted"},
}


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


@pytest.mark.parametrize("name", ASKING)
def test_sites_that_tell_their_categories_give_the_simulators_adapter(
    values: dict[str, Any], tmp_path: Path, tiny_base: Path, name: str
) -> None:
    simulated, real = (named(values, place, **ASKING[name]) for place in ("simulated", "real"))
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
    config = named(values, **ASKING["coverage"])
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
    changes = ASKING["coverage"] if asks else {}
    assert proposed_limits(parse_config({**values, **changes})).categories_told == asks
