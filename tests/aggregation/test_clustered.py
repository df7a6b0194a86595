"""An adapter for each cluster: who belongs together is found, and averaged with nobody else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from aggregation_rounds import aggregated, sent
from lora_rounds import START, lora

from shepherd.aggregation import Clustered
from shepherd.aggregation.clustered import best_clusters, distances
from shepherd.errors import ShepherdError
from shepherd.messages import ClientUpdate
from shepherd.model.adapter import Adapter
from shepherd.model.lora_pairs import pairs_of
from shepherd.tree import Tree

FAMILIES = [lora(seed) for seed in (100, 200, 300)]


def member(client: int, family: int, noise: float = 0.1) -> ClientUpdate:
    update = FAMILIES[family] + lora(client, size=noise)
    return sent(update, examples=client + 1, client=client)


def warm(rule: Clustered, cohorts: list[list[ClientUpdate]]) -> tuple[Adapter, Tree]:
    adapter, state = START, rule.init(START, 20)
    for cohort in cohorts:
        found = aggregated(rule, cohort, state, adapter)
        adapter, state = adapter + found.step, found.state
    return adapter, state


def test_distances_are_means_of_cosines_over_modules() -> None:
    one, other = lora(1), lora(2)
    by_hand = np.mean(
        [
            1 - torch.nn.functional.cosine_similarity(one[p.b].flatten(), other[p.b].flatten(), dim=0).item()
            for p in pairs_of(one.layout)
        ]
    )
    found = distances([one, other, one * 3.0])
    assert found[0, 1] == pytest.approx(by_hand, abs=1e-6)
    assert found[0, 2] == pytest.approx(0, abs=1e-9)
    assert np.array_equal(found, found.T)


def test_the_families_are_found_and_their_number() -> None:
    updates = [member(client, client % 3).update for client in range(9)]
    labels = best_clusters(distances(updates), most=6)
    assert len(set(labels)) == 3
    assert all(labels[client] == labels[client % 3] for client in range(9))


def test_the_warm_up_is_federated_averaging() -> None:
    cohort = [member(client, client % 3) for client in range(6)]
    weights = torch.tensor([client + 1.0 for client in range(6)], dtype=torch.float64)
    vectors = torch.stack([update.update.vector.double() for update in cohort])
    adapter, state = warm(Clustered(warmup=2), [cohort])
    expected = START.vector + (weights @ vectors / weights.sum()).float()
    assert torch.allclose(adapter.vector, expected, atol=1e-6)
    assert Clustered().sent(adapter, state, 0) is adapter


def test_a_cluster_learns_from_its_members_alone() -> None:
    rule = Clustered(warmup=1)
    adapter, state = warm(rule, [[member(client, client % 3) for client in range(9)]])
    before = {client: rule.sent(adapter, state, client) for client in range(9)}
    assert before[0].vector.equal(before[3].vector)
    assert not before[0].vector.equal(before[1].vector)
    found = aggregated(rule, [sent(lora(1), 1, client=0), sent(lora(2), 3, client=3)], state, adapter)
    after = {client: rule.sent(adapter + found.step, found.state, client) for client in range(9)}
    step = (lora(1).vector + 3 * lora(2).vector) / 4
    assert torch.allclose(after[0].vector, before[0].vector + step, atol=1e-5)
    assert after[1].vector.equal(before[1].vector)
    # Everybody's adapter is the mean over the clusters by their clients.
    mean = torch.stack([after[client].vector for client in range(9)]).mean(dim=0)
    assert torch.allclose((adapter + found.step).vector, mean, atol=1e-5)
    assert found.figures == {"clusters": 3.0}


def test_who_comes_later_finds_its_family_and_counts_from_then_on() -> None:
    rule = Clustered(warmup=1)
    adapter, state = warm(rule, [[member(client, client % 3) for client in range(9)]])
    assert rule.sent(adapter, state, 10) is adapter
    found = aggregated(rule, [member(10, family=1)], state, adapter)
    assert rule.sent(adapter, found.state, 10).vector.equal(rule.sent(adapter, found.state, 1).vector)
    assert found.state["adapters"]["0"].equal(state["adapters"]["0"])


def test_the_order_of_the_clients_changes_nothing_but_rounding() -> None:
    cohort = [member(client, client % 3) for client in range(9)]
    one, _ = warm(Clustered(warmup=1), [cohort, cohort])
    other, _ = warm(Clustered(warmup=1), [cohort[::-1], cohort[::-1]])
    assert torch.allclose(one.vector, other.vector, atol=1e-5)


@pytest.mark.parametrize("clients", [1, 2])
def test_too_few_clients_to_cluster_are_refused(clients: int) -> None:
    with pytest.raises(ShepherdError, match=f"there are only {clients}; allocate at least 3, or choose"):
        Clustered().init(START, clients)
    assert Clustered().init(START, 3)["adapters"] == {}
