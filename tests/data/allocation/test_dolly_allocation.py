"""FedIT's own study: Dolly-15k, 100 clients, both schemes."""

from pathlib import Path

import numpy as np
import pytest

from shepherd.data.allocation import Dirichlet, Shards
from shepherd.data.heterogeneity import heterogeneity
from shepherd.data.instructions import Instructions, read_instructions


@pytest.fixture(scope="module")
def dolly(shared: Path) -> Instructions:
    path = Path(shared) / "data" / "databricks-dolly-15k.jsonl"
    if not path.is_file():
        pytest.skip(f"the Dolly data is not at {path}")
    return read_instructions(str(path))


def test_shards_of_dolly_are_equal_and_narrow(dolly):
    found = heterogeneity(Shards(clients=100).allocate(dolly, 42), dolly.categories())
    assert found.summary["examples"] == len(dolly) == 15_011
    assert set(found.examples) == {150, 151}
    assert found.classes.max() <= 4
    assert 0.2 < found.summary["entropy_mean_nats"] < 0.8
    assert found.summary["jensen_shannon_mean_nats"] > 0.3


def test_dirichlet_shares_of_dolly_differ_in_volume(dolly):
    found = heterogeneity(Dirichlet(clients=100).allocate(dolly, 42), dolly.categories())
    assert found.summary["examples"] == 15_011
    assert found.examples.min() >= 40
    assert found.examples.max() > 300
    assert found.summary["examples_gini"] > 0.15
    assert 0.1 < found.summary["jensen_shannon_mean_nats"] < 0.3
    assert np.unique(found.classes).size > 3
