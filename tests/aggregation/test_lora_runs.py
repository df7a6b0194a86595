"""Whole tiny runs of LoRA's rules: what they cost, and that what they leave is the model they evaluated."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from shepherd.export import export_merged
from shepherd.preparation import deal, evaluator_of, load_model
from shepherd.runs import Run, execute, load_run
from shepherd.study.bases import LoadedBase
from shepherd.study.respondents import open_respondent
from shepherd.surroundings import parameters
from tiny_runs import lines, named

RULES: dict[str, dict[str, Any]] = {
    "fedavg": {"measure_error": True},
    "ffa": {},
    "rolora": {},
    "fedsa": {},
    "fedsvd": {},
    "fedex": {},
    "flora": {"measure_error": True},
    "flexlora": {},
    "florist": {"tau": 0.8},
    "hetlora": {},
}


@pytest.fixture
def short(tiny: dict[str, Any]) -> dict[str, Any]:
    """The plain values of two rounds of two steps."""
    training = {**tiny["training"], "steps": 2}
    return {**tiny, "rounds": 2, "training": training, "evaluation": {"answers": 0}}


def finished(values: dict[str, Any], rule: str, **changes: Any) -> Run:
    return execute(named(values, rule, aggregation={"name": rule, **RULES[rule]}, **changes))


def of(run: Run, scope: str) -> list[dict[str, Any]]:
    return [line for line in lines(run.config) if line["scope"] == scope]


@pytest.mark.parametrize("rule", RULES)
def test_a_run_learns_and_what_it_leaves_is_what_it_evaluated(short: dict[str, Any], rule: str) -> None:
    run = finished(short, rule)
    losses = [line["loss"] for line in of(run, "global")]
    rounds = of(run, "round")
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[-1] < losses[0] or (rule == "fedsa" and losses[-1] == losses[0])
    assert all(
        (line.get("product_error", 0) > 0) == bool(RULES[rule].get("measure_error")) for line in rounds
    )
    # Read back from its directory, the model has the loss that the last line says.
    assert _loss(load_run(run.directory)) == pytest.approx(losses[-1], rel=1e-5)


@pytest.mark.parametrize("rule", ["flora", "flexlora", "hetlora"])
def test_clients_of_different_ranks_and_modules_learn_together(short: dict[str, Any], rule: str) -> None:
    tiers = [{"rank": 1, "share": 0.4}, {"targets": ["q_proj", "up_proj"], "share": 0.4}, {"share": 0.2}]
    everybody = {"name": "random", "fraction": 1}
    run = finished(short, rule, capacity={"name": "tiers", "tiers": tiers}, participation=everybody)
    losses = [line["loss"] for line in of(run, "global")]
    assert losses[-1] < losses[0]
    assert len({line["bytes_up"] for line in of(run, "client")}) > 1


def _loss(run: Run) -> float:
    evaluator = evaluator_of(run.config, deal(run.config).test, run.model)
    return float(evaluator.evaluate(run.model, run.adapter(), 2, 2).line["loss"])


def test_only_what_some_round_trains_is_trainable(short: dict[str, Any]) -> None:
    def counted(rule: str) -> tuple[int, int]:
        config = named(short, rule, aggregation={"name": rule})
        return parameters(config, load_model(config))

    frozen, trainable = counted("fedavg")
    layout = load_model(named(short, "fedavg")).layout
    a = sum(size for name, size in zip(layout.names, layout.sizes, strict=True) if "lora_A" in name)
    assert 0 < a < trainable
    assert counted("ffa") == counted("fedsvd") == (frozen + a, trainable - a)
    assert counted("rolora") == (frozen, trainable)  # by turns


def test_what_travels(short: dict[str, Any]) -> None:
    values = {**short, "participation": {"name": "random", "fraction": 1}}
    clients = {rule: of(finished(values, rule), "client") for rule in ("fedavg", "ffa", "rolora", "fedex")}

    def bytes_of(rule: str, way: str, round: int) -> int:
        return int(next(line for line in clients[rule] if line["round"] == round)[f"bytes_{way}"])

    whole = bytes_of("fedavg", "up", 1)
    for round in (1, 2):
        for way in ("up", "down"):
            assert bytes_of("fedavg", way, round) == whole
            assert bytes_of("ffa", way, round) < 0.65 * whole
        assert bytes_of("rolora", "up", round) < 0.65 * whole
        assert bytes_of("rolora", "down", round) == whole
        assert bytes_of("fedex", "up", round) == whole
    assert bytes_of("fedex", "down", 1) == whole
    # Of five clients the residual has as much rank as the matrices can have: several times the adapter.
    assert bytes_of("fedex", "down", 2) > 2 * whole


def logits(model: Any) -> torch.Tensor:
    return model(input_ids=torch.tensor([[5, 17, 200, 33]])).logits.detach()


def test_whoever_reads_a_run_whose_base_was_added_to_has_the_tuned_model(
    short: dict[str, Any], tmp_path: Path
) -> None:
    base = short["model"]["base"]
    run = finished(short, "flora", adapter={"name": "lora", "rank": 2, "rslora": True})
    plain = logits(AutoModelForCausalLM.from_pretrained(base))
    of_peft = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), run.directory / "adapter")
    tuned = logits(of_peft)
    assert not torch.allclose(plain, tuned, atol=1e-4)

    def is_near(model: Any, expected: torch.Tensor) -> bool:
        return torch.allclose(logits(model), expected, atol=1e-5, rtol=1e-5)

    ours = load_run(run.directory).model
    assert is_near(ours.peft, tuned)
    with ours.untuned():
        assert is_near(ours.peft, plain)
    assert is_near(ours.peft, tuned)

    export_merged(load_run(run.directory), tmp_path / "merged")
    assert is_near(AutoModelForCausalLM.from_pretrained(tmp_path / "merged"), tuned)

    loaded = LoadedBase()
    asked, bare = (open_respondent(str(place), loaded=loaded) for place in (run.directory, base))
    for respondent, expected in ((asked, tuned), (bare, plain), (asked, tuned)):
        with respondent.speaking():
            assert is_near(respondent.model.peft, expected)
    assert is_near(loaded.given_away(run.config.model).model, plain)
