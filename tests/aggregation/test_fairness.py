from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from aggregation_rounds import ZERO, aggregated, halves, random_update, sent
from hypothesis import given
from hypothesis import strategies as st

from shepherd.aggregation import AFL, FedAvg, GroupWeighted, QFedAvg
from shepherd.aggregation.afl import on_simplex
from shepherd.config import RunConfig, parse_config
from shepherd.errors import ShepherdError
from shepherd.messages import ClientUpdate
from shepherd.participation import Candidates
from shepherd.runs import execute
from tiny_runs import adapter_bytes, named

losses = st.lists(st.floats(0.01, 20), min_size=1, max_size=6)


def cohort(said: list[float]) -> list[ClientUpdate]:
    return [
        sent(random_update(client, 0.1), client=client, said={"loss": loss})
        for client, loss in enumerate(said)
    ]


def candidates(sizes: list[int], categories: list[dict[str, int]] | None = None) -> Candidates:
    return Candidates(0, 0, sizes, [f"client {i}" for i in range(len(sizes))], categories)


@given(said=losses, q=st.floats(0, 5), lr=st.floats(1e-4, 1))
def test_q_fedavg_is_the_formula_in_float64(said: list[float], q: float, lr: float) -> None:
    numerator, h = np.zeros(ZERO.parameters), 0.0
    for update in cohort(said):
        loss, d = update.said["loss"], -update.update.vector.double().numpy() / lr
        numerator += loss**q * d
        h += q * loss ** (q - 1) * (d @ d) + loss**q / lr
    found = aggregated(QFedAvg(q=q, lr=lr), cohort(said), {}).step.vector.numpy()
    np.testing.assert_allclose(found, -numerator / h, rtol=1e-4, atol=1e-7)


def test_q_of_zero_is_fedavg_that_counts_clients_alike() -> None:
    updates = cohort([1.0, 9.0, 0.0])
    expected = aggregated(FedAvg(weights="uniform"), updates, {}).step
    assert aggregated(QFedAvg(q=0), updates, {}).step.to_bytes() == expected.to_bytes()


def test_q_fedavg_of_two_processes_is_that_of_one() -> None:
    rule, updates = QFedAvg(q=2, lr=0.1), cohort([1.0, 3.0, 2.0])
    torch.testing.assert_close(
        halves(rule, updates, {}).step.vector, aggregated(rule, updates, {}).step.vector
    )


def test_q_fedavg_does_what_flower_does() -> None:
    """Flower's QFedAvg adds 1e-10 to a loss, where ours is at least 1e-10, and takes the loss of training itself."""
    pytest.importorskip("flwr")
    from flwr.serverapp.strategy.qfedavg import compute_delta_and_h

    said, q, lr = [1.5, 3.0, 0.2], 2.0, 0.05
    parts = [
        compute_delta_and_h(
            [np.zeros(ZERO.parameters)],
            [update.update.vector.double().numpy().copy()],
            q,
            1 / lr,
            update.said["loss"],
        )
        for update in cohort(said)
    ]
    expected = -sum(delta[0] for delta, _ in parts) / sum(h for _, h in parts)
    found = aggregated(QFedAvg(q=q, lr=lr), cohort(said), {}).step.vector.numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@given(values=st.lists(st.floats(-3, 3), min_size=1, max_size=6))
def test_the_projection_is_the_nearest_point_of_the_simplex(values: list[float]) -> None:
    """Brute force: the nearest point has its smallest entries at zero, and the others moved by one amount."""
    vector, best = np.array(values), None
    for size in range(1, len(vector) + 1):
        for kept in combinations(range(len(vector)), size):
            point = np.zeros(len(vector))
            point[list(kept)] = vector[list(kept)] - (vector[list(kept)].sum() - 1) / size
            gap = ((point - vector) ** 2).sum()
            if (point >= -1e-12).all() and (best is None or gap < best[0]):
                best = (gap, point)
    assert best is not None
    np.testing.assert_allclose(on_simplex(torch.tensor(values, dtype=torch.float64)), best[1], atol=1e-9)


@pytest.mark.parametrize("ascent", ["projected", "exponentiated"])
def test_afl_steps_by_the_mixture_and_then_moves_it_to_who_does_badly(ascent: Any) -> None:
    rule, updates = AFL(lr=0.5, mixture_lr=0.2, ascent=ascent), cohort([1.0, 2.0, 0.5])
    state = {"mixture": torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)}
    shares = rule.shares(candidates([9, 1, 1]), state)
    made = aggregated(rule, updates, state, shares=shares)
    expected = sum(
        0.5 * share * update.update.vector.double().numpy()
        for share, update in zip(shares, updates, strict=True)
    )
    np.testing.assert_allclose(made.step.vector.numpy(), expected, rtol=1e-5, atol=1e-7)
    after = made.state["mixture"].numpy()
    climbed = np.array([0.2, 0.3, 0.5]) + 0.2 * np.array([1.0, 2.0, 0.5])
    if ascent == "projected":
        np.testing.assert_allclose(after, climbed - (climbed.sum() - 1) / 3)
    else:
        weights = np.array([0.2, 0.3, 0.5]) * np.exp(0.2 * np.array([1.0, 2.0, 0.5]))
        np.testing.assert_allclose(after, weights / weights.sum())
    assert made.figures == {"highest_share": after.max(), "lowest_share": after.min()}


def test_afl_needs_everybody() -> None:
    rule = AFL()
    state = rule.init(ZERO, 3)
    with pytest.raises(ShepherdError, match=r"Only 2 of 3 clients .* afl needs every client"):
        aggregated(rule, cohort([1.0, 2.0]), state, shares=rule.shares(candidates([1, 1, 1]), state))
    for refused in ({"fraction": 0.5}, {"count": 3}):
        with pytest.raises(ShepherdError, match="afl needs every client in every round; set participation"):
            parse_config({"aggregation": "afl", "participation": {"name": "random", **refused}})
    parse_config({"aggregation": "afl", "participation": {"name": "random", "fraction": 1}})


def test_afl_takes_a_count_of_everybody_where_the_config_knows_how_many_there_are() -> None:
    everybody = {"name": "random", "count": 8}
    parse_config({"aggregation": "afl", "participation": everybody, "allocation": {"clients": 8}})
    for allocation in ({"clients": 9}, {"name": "by_field"}):
        with pytest.raises(ShepherdError, match="afl needs every client in every round"):
            parse_config({"aggregation": "afl", "participation": everybody, "allocation": allocation})


def test_afl_is_named_as_a_way_out_only_where_it_is_one() -> None:
    for values in ({"aggregation": "rolora", "system": "fedbuff"}, {"aggregation": "ffa", "adapter": "ia3"}):
        with pytest.raises(ShepherdError, match="choose another aggregation: fedavg") as refused:
            parse_config(values)
        assert " afl" not in str(refused.value)


@pytest.mark.parametrize("rule", [{"name": "qfedavg", "lr": 1.0}, "afl"])
def test_clients_are_weighed_by_the_loss_they_are_trained_on(rule: Any) -> None:
    values = {"aggregation": rule, "participation": {"name": "random", "fraction": 1}}
    parse_config(values)
    with pytest.raises(ShepherdError, match=r"which is not what training\.name=dpo minimises; .*: fedavg"):
        parse_config({**values, "training": "dpo"})


@pytest.mark.parametrize("said", [{}, {"loss": float("nan")}, {"loss": -1.0}, {"loss": "low"}, {"loss": 1e9}])
@pytest.mark.parametrize("rule", [QFedAvg(), AFL()])
def test_a_loss_that_no_model_has_is_refused(rule: QFedAvg | AFL, said: dict[str, Any]) -> None:
    with pytest.raises(ShepherdError, match="A client's loss before training is"):
        rule.check_said(said, ZERO.layout)
    with pytest.raises(ShepherdError, match="A client's loss before training is"):
        rule.accumulate(rule.start(ZERO), sent(ZERO, said=said))  # type: ignore[arg-type]


def test_the_rate_q_fedavg_reckons_with_is_that_of_clients_with_sgd() -> None:
    sgd = {"optimizer": "sgd", "lr": 0.1}
    with pytest.raises(ShepherdError, match=r"aggregation.lr is 0.2 and training.lr 0.1.*set both alike"):
        parse_config({"aggregation": {"name": "qfedavg", "lr": 0.2}, "training": sgd})
    parse_config({"aggregation": {"name": "qfedavg", "lr": 0.1}, "training": sgd})


def test_the_rate_q_fedavg_reckons_with_under_adam_is_higher_than_the_clients() -> None:
    with pytest.raises(
        ShepherdError, match=r"would hardly move: .* adamw goes .*1,000 times .*optimizer=sgd"
    ):
        parse_config({"aggregation": "qfedavg"})
    parse_config({"aggregation": {"name": "qfedavg", "lr": 0.1}})
    parse_config({"aggregation": {"name": "qfedavg", "q": 0}})


def test_groups_count_alike_however_large() -> None:
    held = [{"nl": 9, "en": 1}, {"en": 5}, {"en": 2, "de": 2}, {"en": 40}]
    everybody = candidates([10, 5, 4, 40], held)
    found = GroupWeighted().shares(everybody, {})
    # The third holds as much of one as of the other: the first by name is its group.
    np.testing.assert_allclose(found, [1 / 3, 5 / 45 / 3, 1 / 3, 40 / 45 / 3])
    uneven = GroupWeighted(group_shares={"nl": 2, "en": 0}, weights="uniform").shares(everybody, {})
    np.testing.assert_allclose(uneven, [2 / 3, 0, 1 / 3, 0])


def test_a_groups_clients_are_averaged_by_their_shares_alone() -> None:
    rule = GroupWeighted(groups={"one": ["client 0"], "two": ["client 1", "client 2"]})
    shares = rule.shares(candidates([7, 3, 1]), {})
    updates = [sent(random_update(client), 100 * client + 1, client=client) for client in range(3)]
    one, two, three = (update.update.vector.double() for update in updates)
    found = aggregated(rule, updates, {}, shares=shares).step.vector
    torch.testing.assert_close(found, (one / 2 + (3 * two + three) / 8).float())


def test_a_round_of_groups_without_a_share_is_no_step() -> None:
    rule = GroupWeighted(groups={"one": ["client 0"], "two": ["client 1"]}, group_shares={"one": 0})
    shares = rule.shares(candidates([7, 3]), {})
    only_one = aggregated(rule, [sent(random_update(0), client=0)], {}, shares=shares)
    assert only_one.step.norm() == 0
    both = aggregated(rule, [sent(random_update(k), client=k) for k in (0, 1)], {}, shares=shares)
    torch.testing.assert_close(both.step.vector, random_update(1).vector)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({}, "name the clients of each group"),
        ({"groups": {"a": ["client 0"]}}, "no group for the client 'client 1'"),
        ({"groups": {"a": ["client 0", "client 1", "clint 1"]}}, "'clint 1'.*did you mean"),
        (
            {"groups": {"a": ["client 0", "client 1"]}, "group_shares": {"b": 1}},
            "names the group 'b'",
        ),
        ({"groups": {"a": ["client 0", "client 1"]}, "group_shares": {"a": 0}}, "leaves no group"),
    ],
)
def test_groups_that_do_not_fit_the_clients_are_refused(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(ShepherdError, match=message):
        GroupWeighted(**rule).shares(candidates([1, 1]), {})


def test_a_client_in_two_groups_is_refused() -> None:
    with pytest.raises(ShepherdError, match="groups names the client 'x' twice"):
        parse_config({"aggregation": {"name": "group_weighted", "groups": {"a": ["x"], "b": ["x"]}}})


def ran(tiny: dict[str, Any], name: str, aggregation: dict[str, Any]) -> RunConfig:
    config = named({**tiny, "rounds": 1, "evaluation": {"answers": 0}}, name, aggregation=aggregation)
    execute(config)
    return config


def test_clients_are_asked_for_the_loss_of_the_rounds_adapter(tiny: dict[str, Any]) -> None:
    """With q = 0 a run is FedAvg's to the bit; only what clients say is more."""
    plain = ran(tiny, "plain", {"name": "fedavg", "weights": "uniform"})
    fair = ran(tiny, "fair", {"name": "qfedavg", "q": 0, "lr": 1e-2})
    assert adapter_bytes(plain) == adapter_bytes(fair)


def test_groups_are_the_clients_main_categories_in_a_run(tiny: dict[str, Any]) -> None:
    by_group, by_size = ({"name": "group_weighted", "weights": "examples"}, {"name": "fedavg"})
    assert adapter_bytes(ran(tiny, "groups", by_group)) != adapter_bytes(ran(tiny, "sizes", by_size))
