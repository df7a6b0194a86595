"""SCAFFOLD and FedDyn, whose two halves work at the clients and at the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from aggregation_rounds import ZERO, halves, random_update, sent

from shepherd.aggregation import Aggregation, FedAvg, FedDyn, Scaffold
from shepherd.config import parse_config
from shepherd.errors import ShepherdError
from shepherd.model.adapter import Adapter
from shepherd.training import LocalTask
from shepherd.training.correction import CorrectedStack, Correction
from shepherd.training.corrections import FedDynCorrection, ScaffoldCorrection
from shepherd.tree import Tree

SIZE = ZERO.parameters
CLIENTS = 4


class Quadratics:
    """Clients whose losses are ``1/2 (y - b_k)' H_k (y - b_k)`` with diagonal H_k; the best for all is known."""

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(3)
        self.curvature = 0.2 + torch.rand(CLIENTS, SIZE, generator=draw)
        self.centre = torch.randn(CLIENTS, SIZE, generator=draw)

    @property
    def best(self) -> torch.Tensor:
        return (self.curvature * self.centre).sum(0) / self.curvature.sum(0)

    def gradient(self, client: int, values: torch.Tensor) -> torch.Tensor:
        return self.curvature[client] * (values - self.centre[client])


def local_round(
    problem: Quadratics,
    correction: Correction | None,
    client: int,
    start: torch.Tensor,
    kept: Tree,
    told: Tree,
    optimizer: type[torch.optim.Optimizer] = torch.optim.SGD,
    lr: float = 0.2,
    steps: int = 8,
) -> tuple[torch.Tensor, Tree, Tree, list[torch.Tensor]]:
    """One client's training: how far it moved, what it keeps and says, and the gradients of its loss on the way."""
    values = torch.nn.Parameter(start[None].clone())
    values.grad = torch.zeros_like(values)
    task = LocalTask(None, np.arange(1), 0, 0, 1, client, {"correction": kept}, told)  # type: ignore[arg-type]
    stack = CorrectedStack(correction, values.detach(), [task]) if correction else None
    optimizing, seen = optimizer([values], lr=lr), []  # type: ignore[call-arg]
    for _ in range(steps):
        seen.append(problem.gradient(client, values.detach()[0]))
        values.grad.copy_(seen[-1])
        if stack is not None:
            stack.correct(values.grad, values.detach())
        optimizing.step()
    kept, said = stack.end(0, values.detach()[0], steps) if stack else ({}, {})
    return values.detach()[0] - start, kept, said, seen


def federated(
    correction: Correction | None, rule: Aggregation, rounds: int, each_round: int = CLIENTS, **local: Any
) -> tuple[torch.Tensor, Tree, Mapping[int, Tree]]:
    """Rounds of a few clients in turn; return the adapter, the server's state, and what the clients keep."""
    problem, adapter = Quadratics(), ZERO
    state, kept = rule.init(ZERO, CLIENTS), dict[int, Tree]()
    for round in range(rounds):
        total = rule.start(adapter)
        for place in range(each_round):
            client = (round * each_round + place) % CLIENTS
            moved, keeps, said, _ = local_round(
                problem,
                correction,
                client,
                adapter.vector,
                kept.get(client, {}),
                rule.told(state),
                **local,
            )
            kept[client] = keeps
            update = Adapter.from_vector(ZERO.layout, moved)
            total = rule.accumulate(total, sent(update, client=client, said=said))
        made = rule.finish(adapter, total, state)
        adapter, state = adapter + made.step, made.state
    return adapter.vector, state, kept


def test_fedavg_drifts_and_the_corrected_do_not() -> None:
    best = Quadratics().best
    drifted, _, _ = federated(None, FedAvg(weights="uniform"), 20)
    assert (drifted - best).norm() > 0.05
    found, _, _ = federated(ScaffoldCorrection(), Scaffold(), 60)
    torch.testing.assert_close(found, best, rtol=0, atol=1e-4)
    # FedDyn assumes that clients come to their minimum, so they get the steps for it.
    found, _, _ = federated(FedDynCorrection(alpha=0.5), FedDyn(alpha=0.5), 40, steps=20, lr=0.6)
    torch.testing.assert_close(found, best, rtol=0, atol=1e-3)


@pytest.mark.parametrize("each_round", [1, 3, 4])
def test_the_servers_memory_is_the_mean_of_the_clients(each_round: int) -> None:
    nothing = torch.zeros(SIZE)
    _, state, kept = federated(ScaffoldCorrection(), Scaffold(), 5, each_round)
    everybody = [kept.get(client, {}).get("control", nothing) for client in range(CLIENTS)]
    torch.testing.assert_close(state["control"], torch.stack(everybody).mean(0))
    _, state, kept = federated(FedDynCorrection(alpha=0.5), FedDyn(alpha=0.5), 5, each_round)
    everybody = [kept.get(client, {}).get("own", nothing) for client in range(CLIENTS)]
    torch.testing.assert_close(state["pull"], torch.stack(everybody).mean(0))


def test_under_sgd_the_control_variate_is_the_papers_second_option() -> None:
    """c_k+ = c_k - c + (x - y) / (K lr), arXiv 1910.06378, equation 4."""
    start, own, everybody = (random_update(seed).vector for seed in (1, 2, 3))
    moved, kept, said, _ = local_round(
        Quadratics(), ScaffoldCorrection(), 1, start, {"control": own}, {"control": everybody}
    )
    second = own - everybody - moved / (8 * 0.2)
    torch.testing.assert_close(kept["control"], second)
    torch.testing.assert_close(said["control"], second - own)


def test_under_adam_it_is_still_the_mean_gradient() -> None:
    start, everybody = random_update(1).vector, random_update(3).vector
    moved, kept, _, seen = local_round(
        Quadratics(), ScaffoldCorrection(), 1, start, {}, {"control": everybody}, torch.optim.Adam, lr=0.01
    )
    torch.testing.assert_close(kept["control"], torch.stack(seen).mean(0))
    naive = -everybody - moved / (8 * 0.01)
    assert (naive - kept["control"]).norm() > 0.5 * kept["control"].norm()  # which is why it is not taken


def test_scaffold_of_two_processes_is_that_of_one() -> None:
    rule = Scaffold(lr=0.5)
    updates = [
        sent(random_update(k), client=k, said={"control": random_update(k + 9).vector}) for k in range(3)
    ]
    state = {"control": random_update(5).vector, "clients": 10}
    made = halves(rule, updates, state)
    controls = sum(update.said["control"] for update in updates)
    torch.testing.assert_close(made.state["control"], state["control"] + controls / 10)
    torch.testing.assert_close(made.step.vector, sum(update.update.vector for update in updates) / 6)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({}, "is not the 10 float32 values"),
        ({"control": 1.0}, "is not the 10 float32 values"),
        ({"control": torch.zeros(9)}, "is not the 10 float32 values"),
        ({"control": torch.zeros(10, dtype=torch.float64)}, "is not the 10 float32 values"),
        ({"control": torch.full((10,), torch.inf)}, "is not finite"),
    ],
)
def test_a_control_variate_that_is_none_is_refused(said: Tree, message: str) -> None:
    with pytest.raises(ShepherdError, match=message):
        Scaffold().check_said(said, ZERO.layout)


@pytest.mark.parametrize("bad", [torch.inf, torch.nan])
def test_one_control_variate_that_is_not_finite_shows_in_the_sum(bad: float) -> None:
    rule, state = Scaffold(), Scaffold().init(ZERO, clients=3)
    accumulator = rule.start(ZERO)
    for value in (1.0, bad, -1.0):
        accumulator = rule.accumulate(accumulator, sent(ZERO, said={"control": torch.full((10,), value)}))
    with pytest.raises(ShepherdError, match="control' is not finite"):
        rule.finish(ZERO, accumulator, state)


def test_a_large_control_variate_is_not_taken_for_an_infinite_one() -> None:
    Scaffold().check_said({"control": torch.full((10,), 3e38)}, ZERO.layout)


@pytest.mark.parametrize("name", ["scaffold", "feddyn"])
def test_one_half_is_refused_without_the_other(name: str) -> None:
    with pytest.raises(
        ShepherdError, match=f"aggregation {name} works only .* training.correction.name={name}"
    ):
        parse_config({"aggregation": name})
    with pytest.raises(ShepherdError, match=f"aggregation {name} works only"):
        parse_config({"aggregation": name, "training": "trainer"})
    with pytest.raises(ShepherdError, match=f"correction {name} works only .* set aggregation.name={name}"):
        parse_config({"training": {"correction": name}})
    other = {"scaffold": "feddyn", "feddyn": "scaffold"}[name]
    with pytest.raises(ShepherdError, match="works only"):
        parse_config({"aggregation": name, "training": {"correction": other}})
    parse_config({"aggregation": name, "training": {"correction": name}})


def test_feddyn_has_one_alpha() -> None:
    values = {"aggregation": "feddyn", "training": {"correction": {"name": "feddyn", "alpha": 0.1}}}
    with pytest.raises(
        ShepherdError, match=r"alpha is 0.01 and training.correction.alpha 0.1.*set both alike"
    ):
        parse_config(values)
    parse_config({**values, "aggregation": {"name": "feddyn", "alpha": 0.1}})
    with pytest.raises(ShepherdError, match="alpha"):
        parse_config({**values, "aggregation": {"name": "feddyn", "alpha": 0}})
