"""Rules on LoRA's products against dense matrices in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from aggregation_rounds import sent
from hypothesis import given, settings
from hypothesis import strategies as st
from lora_rounds import RANK, START, Client, assert_close, lora, mean_product, products, round_of, whole

from shepherd.aggregation import FFA, Aggregation, FedAvg, FedEx, FedSVD, FlexLoRA, FLoRA, FLoRIST, HetLoRA
from shepherd.aggregation.small_core import spectrum
from shepherd.capacity import Configuration
from shepherd.messages import ClientUpdate
from shepherd.model.adapter import Adapter
from shepherd.model.lora_pairs import pairs_of, product_norm
from shepherd.model.residual import check_residual

clients = st.builds(Client, st.integers(1, 2**32 - 1), st.integers(1, 5000))
cohorts = st.lists(clients, min_size=1, max_size=6)
#: Holding less rank, or not every module.
configurations = st.sampled_from(
    [Configuration(), Configuration(rank=1), Configuration(rank=2), Configuration(targets=("q_proj",))]
)
mixed = st.lists(
    st.builds(Client, st.integers(1, 999), st.integers(1, 99), configurations), min_size=1, max_size=6
)
#: LoRA as it begins: nothing learnt.
FRESH = Adapter({name: tensor * (".lora_A" in name) for name, tensor in START.items()})
few = settings(max_examples=25)


def updates_of(cohort: Sequence[Client], start: Adapter = START) -> list[ClientUpdate]:
    return [client.update(start) for client in cohort]


@few
@given(cohort=cohorts)
def test_fedex_is_the_exact_mean(cohort: list[Client]) -> None:
    rule = FedEx()
    found = round_of(rule, updates_of(cohort))
    assert_close(whole(rule, found), mean_product(cohort))
    # A and B are fedavg's.
    assert (found.step - round_of(FedAvg(), updates_of(cohort)).step).norm() < 1e-5


@few
@given(cohort=mixed)
def test_flora_is_the_exact_mean_of_any_ranks(cohort: list[Client]) -> None:
    rule, start = FLoRA(), FRESH
    found = round_of(rule, updates_of(cohort, start), start)
    assert found.step.norm() == 0
    assert_close(whole(rule, found, start), mean_product(cohort, start))
    assert found.figures["merged_norm"] == pytest.approx(
        math.sqrt(sum(float(matrix.norm()) ** 2 for matrix in mean_product(cohort, start).values())), rel=1e-6
    )


@few
@given(cohort=st.lists(clients, min_size=1, max_size=2), rank=st.integers(1, 2))
def test_flexlora_with_room_for_everything_is_the_exact_mean(cohort: list[Client], rank: int) -> None:
    start, rule = lora(0, rank=4), FlexLoRA()
    cohort = [replace(client, configuration=Configuration(rank=rank)) for client in cohort]
    assert_close(
        whole(rule, round_of(rule, updates_of(cohort, start), start), start), mean_product(cohort, start)
    )


@few
@given(cohort=mixed)
def test_flexlora_is_the_nearest_of_every_rank(cohort: list[Client]) -> None:
    found = START + round_of(FlexLoRA(), updates_of(cohort)).step
    for module, mean in mean_product(cohort).items():
        values = torch.linalg.svdvals(mean)
        for rank in range(1, RANK + 1):
            # What a client of a smaller rank is sent is the best of its own rank, too.
            part = Configuration(rank=rank).held(found.layout)
            gap = float((products(part.pad(part.cut(found)))[module] - mean).norm())
            assert gap == pytest.approx(float(values[rank:].norm()), abs=2e-6 * float(values[0]))


def test_flexlora_keeps_what_can_be_trained_where_the_mean_has_less_rank() -> None:
    client = Client(1, 1, Configuration(rank=1))
    found = START + round_of(FlexLoRA(), [client.update()]).step
    assert_close(products(found), mean_product([client]))
    for pair in pairs_of(START.layout):
        assert not found[pair.b][:, 1:].any()
        torch.testing.assert_close(found[pair.a][1:], START[pair.a][1:])


@few
@given(cohort=cohorts, tau=st.floats(0.05, 1.0))
def test_florist_keeps_the_smallest_rank_with_the_energy(cohort: list[Client], tau: float) -> None:
    result = round_of(FLoRIST(tau=tau), updates_of(cohort))
    found, ranks = START + result.step, []
    for pair in pairs_of(START.layout):
        values = torch.linalg.svdvals(mean_product(cohort)[pair.module])
        energy = (values**2).cumsum(0) / (values**2).sum()
        if bool(((energy - tau).abs() < 1e-9).any()):
            return  # a tie is decided by rounding
        wanted = min(int((energy < tau).sum()) + 1, RANK)
        assert int((found[pair.b].norm(dim=0) > 0).sum()) == wanted
        ranks.append(wanted)
    assert result.figures["kept_rank"] == sum(ranks) / len(ranks)


@few
@given(cohort=mixed)
def test_hetlora_weighs_by_the_norm_of_the_product_and_pads_with_zeros(cohort: list[Client]) -> None:
    found = START + round_of(HetLoRA(), updates_of(cohort)).step
    weights = [
        math.sqrt(sum(float(matrix.norm()) ** 2 for matrix in products(client.trained()).values()))
        for client in cohort
    ]
    for name in START:
        parts = [dict(client.configuration.held(START.layout).shapes) for client in cohort]
        holds = [weight * (name in part) for part, weight in zip(parts, weights, strict=True)]
        expected = START[name].double()
        # What nobody holds stays as it was.
        reach = max((part[name] for part in parts if name in part), default=torch.Size((0, 0)))
        if sum(holds):
            mean = sum(
                weight / sum(holds) * client.trained()[name].double()
                for client, weight in zip(cohort, holds, strict=True)
            )
            assert isinstance(mean, torch.Tensor)
            expected[: reach[0], : reach[1]] = mean[: reach[0], : reach[1]]
        torch.testing.assert_close(found[name].double(), expected, rtol=1e-5, atol=1e-5)


def test_a_round_of_small_ranks_leaves_hetlora_the_others_to_train() -> None:
    small = Client(5, configuration=Configuration(rank=1))
    found = FRESH + round_of(HetLoRA(), [small.update(FRESH)], FRESH).step
    for pair in pairs_of(FRESH.layout):
        assert torch.equal(found[pair.a][1:], FRESH[pair.a][1:])
        torch.testing.assert_close(found[pair.a][0], small.trained(FRESH)[pair.a][0])


@few
@given(cohort=cohorts, rank=st.sampled_from([1, 3, 5]))
def test_fedsvd_changes_no_product_and_makes_a_orthonormal(cohort: list[Client], rank: int) -> None:
    start = lora(0, rank)
    updates = [
        replace(update, update=Adapter({n: t * (".lora_B" in n) for n, t in update.update.items()}))
        for update in updates_of(cohort, start)
    ]
    averaged = products(start + round_of(FFA(), updates, start).step)
    found = start + round_of(FedSVD(), updates, start).step
    assert_close(products(found), averaged)
    for pair in pairs_of(start.layout):
        torch.testing.assert_close(found[pair.a] @ found[pair.a].T, torch.eye(rank), atol=1e-5, rtol=0)
        gram = found[pair.b].T @ found[pair.b]
        assert float((gram - gram.diag().diag()).norm()) <= 1e-4 * float(gram.norm())


@few
@given(cohort=cohorts)
def test_the_error_of_averaging_is_measured_exactly(cohort: list[Client]) -> None:
    rule = FedAvg(measure_error=True)
    found = round_of(rule, updates_of(cohort))
    mean, naive = mean_product(cohort), products(START + found.step)
    missed = sum(float((mean[module] - naive[module]).norm()) ** 2 for module in mean)
    total = sum(float(matrix.norm()) ** 2 for matrix in mean.values())
    assert found.figures["product_error"] == pytest.approx(math.sqrt(missed / total), abs=1e-5)
    assert not rule.adds_up
    assert round_of(FedAvg(), updates_of(cohort)).figures == {}


def test_fedex_puts_into_the_base_as_much_as_fedavg_misses() -> None:
    cohort = [Client(1), Client(2, 3), Client(3)]
    found = round_of(FedEx(measure_error=True), updates_of(cohort))
    added = sum(product_norm(p["left"], p["right"]) ** 2 for p in FedEx().residual(found.state).values())
    total = sum(float(matrix.norm()) ** 2 for matrix in mean_product(cohort).values())
    assert found.figures["product_error"] == pytest.approx(math.sqrt(added / total), rel=1e-5)


def test_fedex_of_a_rank_adds_the_nearest_of_it() -> None:
    cohort = [Client(1), Client(2, 3), Client(3)]
    rule = FedEx(residual_rank=2)
    found = round_of(rule, updates_of(cohort))
    for module, pair in rule.residual(found.state).items():
        assert pair["left"].shape[1] == 2
        missed = mean_product(cohort)[module] - products(START + found.step)[module]
        gap = pair["left"].double() @ pair["right"].double() - missed
        assert float(gap.norm()) == pytest.approx(float(torch.linalg.svdvals(missed)[2:].norm()), rel=1e-4)


@pytest.mark.parametrize("rule", [FedEx(), FLoRA()], ids=["fedex", "flora"])
def test_what_is_added_to_the_base_adds_up_and_has_no_more_rank_than_a_matrix(rule: Aggregation) -> None:
    adapter, state = START, rule.init(START, 4)
    dense: dict[str, torch.Tensor] = {}
    for number in range(4):
        cohort = [Client(10 * number + client) for client in range(1, 4)]
        found = round_of(rule, updates_of(cohort, adapter), adapter, state)
        own = products(adapter + found.step)
        for module, mean in mean_product(cohort, adapter).items():
            # FLoRA merges the whole, FedEx what is left beside A and B.
            more = mean if isinstance(rule, FLoRA) else mean - own[module]
            dense[module] = dense.get(module, torch.zeros_like(more)) + more
        adapter, state = adapter + found.step, found.state
    residual = {m: p["left"].double() @ p["right"].double() for m, p in rule.residual(state).items()}
    assert_close(residual, dense, 1e-5)
    for pair in pairs_of(START.layout):
        rank = rule.residual(state)[pair.module]["left"].shape[1]
        assert rank <= min(START[pair.b].shape[0], START[pair.a].shape[1])


EXACT = [FedEx(), FLoRA(), FlexLoRA(), FLoRIST(tau=0.9), HetLoRA(), FedAvg()]
by_name = pytest.mark.parametrize("rule", EXACT, ids=lambda rule: rule.name)


@by_name
def test_the_order_of_clients_is_nothing_but_rounding(rule: Aggregation) -> None:
    cohort = [Client(1, 5), Client(2, 1), Client(3, 9), Client(4, 2)]
    one, other = (whole(rule, round_of(rule, updates_of(order))) for order in (cohort, cohort[::-1]))
    assert_close(one, other, 1e-5)


@by_name
def test_only_the_proportions_of_weights_count(rule: Aggregation) -> None:
    cohort = [Client(1, 5), Client(2, 1), Client(3, 9)]
    scaled = [Client(client.seed, 100 * client.examples) for client in cohort]
    one, other = (whole(rule, round_of(rule, updates_of(order))) for order in (cohort, scaled))
    assert_close(one, other, 1e-5)


@by_name
@pytest.mark.parametrize("count", [1, 3])
def test_equal_clients_come_to_their_own_model(rule: Aggregation, count: int) -> None:
    start = FRESH
    cohort = [Client(7, examples + 1) for examples in range(count)]
    rule = FLoRIST(tau=1.0) if isinstance(rule, FLoRIST) else rule
    assert_close(
        whole(rule, round_of(rule, updates_of(cohort, start), start), start),
        mean_product(cohort, start),
        1e-5,
    )


@by_name
def test_zero_updates_leave_the_model_as_it_is(rule: Aggregation) -> None:
    start = FRESH if isinstance(rule, FLoRA) else START
    rule = FLoRIST(tau=1.0) if isinstance(rule, FLoRIST) else rule
    found = round_of(rule, [sent(start * 0.0, 3), sent(start * 0.0, 4)], start)
    assert_close(whole(rule, found, start), products(start), 1e-5)
    assert all(math.isfinite(value) for value in found.figures.values())


def test_a_module_without_anything_learnt_is_left_alone() -> None:
    start = FRESH
    for rule in (FlexLoRA(measure_error=True), HetLoRA(), FedSVD(), FedEx()):
        found = round_of(rule, [sent(start * 0.0)], start)
        assert all(not matrix.any() for matrix in whole(rule, found, start).values())
        assert found.step.norm() < 10


@few
@given(seed=st.integers(0, 999), rank=st.integers(1, 12), out=st.integers(1, 9), wide=st.integers(1, 9))
def test_a_spectrum_is_the_singular_value_decompositions(seed: int, rank: int, out: int, wide: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    left, right = torch.randn(out, rank, generator=draw), torch.randn(rank, wide, generator=draw)
    dense = left.double() @ right.double()
    values = torch.linalg.svdvals(dense)
    found = spectrum(left, right)
    torch.testing.assert_close(
        found.values, values[: len(found.values)], rtol=0, atol=1e-6 * float(values[0])
    )
    assert float(values[len(found.values) :].norm()) <= 1e-6 * float(values[0])
    near = found.nearest(2)
    gap = float((near[0] @ near[1] - dense).norm())
    assert gap == pytest.approx(float(values[2:].norm()), abs=1e-6 * float(values[0]))
    assert product_norm(left, right) == pytest.approx(float(dense.norm()), rel=1e-9)


@pytest.mark.parametrize("count", [1, 3])
def test_fedex_of_a_rank_adds_nothing_where_averaging_misses_nothing(count: int) -> None:
    rule = FedEx(residual_rank=2)
    found = round_of(rule, [Client(5).update()] * count)
    check_residual(rule.residual(found.state), START.layout)  # as it travels to clients
    assert_close(whole(rule, found), products(Client(5).trained()))
    after = round_of(rule, [Client(5).update(), Client(6).update()], state=found.state)
    check_residual(rule.residual(after.state), START.layout)
    assert len(rule.residual(after.state)) == len(products(START))


@pytest.mark.parametrize("rule", [FLoRIST(tau=0.5), FlexLoRA()])
def test_a_module_that_nobody_holds_keeps_its_product(rule: Aggregation) -> None:
    holder = Client(5, configuration=Configuration(targets=("q_proj",)))
    (unheld,) = (module for module in products(START) if module.endswith("up_proj"))
    found = products(START + round_of(rule, [holder.update()]).step)
    assert_close({unheld: found[unheld]}, {unheld: products(START)[unheld]})
